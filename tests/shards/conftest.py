"""Shards of the painted corpus, made once."""

import pytest

from mien.shards.index import Index
from mien.shards.writer import write_shards
from tests.shards.painted import SMALL, people


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """48 faces of 12 people in five tars; not to be changed by a test."""
    root = tmp_path_factory.mktemp("painted")
    return write_shards("painted", **people().write(root / "in"), into=root / "shards", params=SMALL)
