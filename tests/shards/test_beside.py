"""Two corpora read at once."""

import numpy as np
import pytest

from mien.config import MienError
from mien.shards.beside import BesideReader
from mien.shards.index import Index
from mien.shards.indexed import IndexedReader
from tests.shards.painted import SMALL, people, sharded


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    root = tmp_path_factory.mktemp("beside")
    return sharded("painted", **people().write(root / "in"), into=root / "shards", params=SMALL)


def beside(index: Index, size: int = 6) -> BesideReader:
    own = IndexedReader(index, np.arange(30), index.classes, ("label",))
    other = IndexedReader(index, np.arange(30, 48), index.classes, ("label", "subject"), "subject")
    return BesideReader(own, other, size)


def seen(batches) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    return [(batch.keys, batch.beside.keys) for batch in batches]


def test_the_other_corpus_goes_round_and_round(index: Index) -> None:
    reader = beside(index)
    epochs = [seen(reader.batches(5, seed=1, epoch=epoch)) for epoch in range(2)]
    own = [key for keys, _ in epochs[0] for key in keys]
    assert len(own) == len(set(own)) == 30
    near = [key for epoch in epochs for _, keys in epoch for key in keys]  # 12 batches of 6 from 18 faces
    assert {near.count(key) for key in near} == {4}
    assert set(near) == set(index.keys[30:48].tolist())


def test_a_resumed_epoch_goes_on_with_the_same_faces(index: Index) -> None:
    reader = beside(index)
    whole = seen(reader.batches(5, seed=1, epoch=3))
    assert seen(reader.batches(5, seed=1, epoch=3, start=2)) == whole[2:]


def test_ranks_share_both_batches(index: Index) -> None:
    reader = beside(index)
    whole = seen(reader.batches(6, seed=1, epoch=0))
    halves = [seen(reader.batches(6, seed=1, epoch=0, rank=rank, world=2)) for rank in range(2)]
    for step, (own, near) in enumerate(whole):
        assert own == halves[0][step][0] + halves[1][step][0]
        assert near == halves[0][step][1] + halves[1][step][1]


def test_evaluation_reads_one_corpus(index: Index) -> None:
    assert all(batch.beside is None for batch in beside(index).in_order(7))


def test_too_few_faces_beside_are_refused(index: Index) -> None:
    with pytest.raises(MienError, match=r"a batch of 19 .* has 18"):
        beside(index, size=19)
