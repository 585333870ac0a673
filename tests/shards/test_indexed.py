"""What only the indexed reader does."""

import pytest

from mien.shards.index import Index
from mien.shards.indexed import IndexedReader


@pytest.mark.parametrize("people", [False, True])
def test_balanced_batches_have_equally_many_faces_of_each_class(index: Index, people: bool) -> None:
    needs, size = ("faces", "label", "subject"), 2 * len(index.classes)
    reader = IndexedReader(index, range(len(index)), index.classes, needs, balanced=True, people=people)
    batches = list(reader.batches(size, seed=0, epoch=0))
    assert len(batches) == len(index) // size
    for batch in batches:
        assert batch.label.bincount().tolist() == [2] * len(index.classes)
    halves = [list(reader.batches(size, seed=0, epoch=0, rank=rank, world=2)) for rank in (0, 1)]
    assert [a.keys + b.keys for a, b in zip(*halves, strict=True)] == [batch.keys for batch in batches]


def test_with_people_a_batch_is_of_a_few_of_them(index: Index) -> None:
    def faces_a_person(people: bool) -> float:
        needs, size = ("faces", "label", "subject"), 2 * len(index.classes)
        reader = IndexedReader(index, range(len(index)), index.classes, needs, balanced=True, people=people)
        found = [b.subject for epoch in range(5) for b in reader.batches(size, seed=0, epoch=epoch)]
        return sum(float(subject.bincount().max()) for subject in found) / len(found)

    assert faces_a_person(True) > faces_a_person(False)
