"""Where things may be kept."""

import pytest

from mien.config import MienError, parse_section
from mien.config.train import Cluster


@pytest.mark.parametrize("place", ["storage", "/mnt/big/storage", "s3://bucket", "s3://bucket/team/mien"])
def test_a_path_or_a_prefix_of_an_object_store(place):
    assert parse_section(Cluster, {"storage": place}, "params.yaml", "cluster").storage == place


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("", "neither a path nor s3://bucket/prefix"),
        ("s3://", "neither a path nor s3://bucket/prefix"),
        ("gs://bucket/x", "neither a path nor s3://bucket/prefix"),
        ("file:///x", "neither a path nor s3://bucket/prefix"),
        ("s3://key:secret@bucket/x", "carries neither keys nor options"),
        ("s3://bucket/x?endpoint_override=evil", "carries neither keys nor options"),
    ],
)
def test_anything_else_is_refused_at_load(place, why):
    with pytest.raises(MienError, match=rf"params\.yaml: cluster\.storage: .*{why}"):
        parse_section(Cluster, {"storage": place}, "params.yaml", "cluster")
