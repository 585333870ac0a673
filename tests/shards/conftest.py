"""Shards of the painted corpus, made once."""

import pytest

from mien.shards.index import Index
from tests.shards.painted import SMALL, people, sharded


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """48 faces of 12 people in five tars; not to be changed by a test."""
    root = tmp_path_factory.mktemp("painted")
    return sharded("painted", **people().write(root / "in"), into=root / "shards", params=SMALL)
