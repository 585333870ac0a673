"""Two corpora read at once: every training batch has one of another corpus beside it."""

from collections.abc import Iterator
from dataclasses import replace

from mien.config import MienError
from mien.shards.batch import Batch
from mien.shards.reading import PartReader


class BesideReader:
    """A reader whose training batches carry, as `Batch.beside`, the next batch of another reader.

    The other one begins anew as often as needed, shuffled differently; where it stands follows from the step,
    so that a resumed run goes on with the same faces. MienError: it has too few faces for its batch.
    """

    def __init__(self, own: PartReader, other: PartReader, batch_size: int) -> None:
        self._own, self._other, self._size = own, other, batch_size
        self.labels = own.labels
        if len(other) < batch_size:
            raise MienError(
                f"a batch of {batch_size} is to be read beside the faces, but that corpus has {len(other)}; "
                "lower it."
            )

    def __len__(self) -> int:
        return len(self._own)

    def batches(
        self, batch_size: int, seed: int, epoch: int, rank: int = 0, world: int = 1, start: int = 0
    ) -> Iterator[Batch]:
        """As PartReader.batches."""
        done = epoch * self._own.steps(batch_size) + start
        others = self._endless(seed, done, rank, world)
        for batch in self._own.batches(batch_size, seed, epoch, rank, world, start):
            yield replace(batch, beside=next(others))

    def in_order(self, batch_size: int, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """As PartReader.in_order, with nothing beside."""
        return self._own.in_order(batch_size, rank, world)

    def _endless(self, seed: int, done: int, rank: int, world: int) -> Iterator[Batch]:
        epoch, start = divmod(done, self._other.steps(self._size))
        while True:
            yield from self._other.batches(self._size, seed, epoch, rank, world, start)
            epoch, start = epoch + 1, 0
