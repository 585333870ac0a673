"""What every reader of a shard folder is: some rows of an index, cut into batches."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mien.shards import order
from mien.shards.batch import Batch
from mien.shards.selection import Selection


@dataclass(frozen=True)
class Plan:
    """The batches that one rank reads: positions, and the size of the global batch."""

    batches: Sequence[tuple[order.Rows, int]]
    seed: int = 0
    epoch: int | None = None  # None: every face once, in the index's order


class PartReader(ABC):
    """Batches of a selection. `labels` is the number of different labels.

    A reader says in which order the faces of an epoch come, and loads what it is told to.
    """

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self.labels = selection.labels

    def __len__(self) -> int:
        return len(self._selection)

    def steps(self, batch_size: int) -> int:
        """Steps of a training epoch, the same on every rank."""
        return order.steps_of(len(self), batch_size)

    def batches(
        self, batch_size: int, seed: int, epoch: int, rank: int = 0, world: int = 1, start: int = 0
    ) -> Iterator[Batch]:
        """This rank's part of each global batch, shuffled by (seed, epoch), from step `start` on.

        Every face at most once unless balanced, the same steps on each rank; the incomplete last global batch
        is left out.
        """
        own = order.share(self._order(batch_size, seed, epoch), batch_size, rank, world, start)
        return self._load(Plan([(positions, batch_size) for positions in own], seed, epoch))

    def in_order(self, batch_size: int, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """Every face exactly once over the ranks, in the index's order; the last batch may be short."""
        own = order.in_turn(len(self), batch_size, rank, world)
        return self._load(Plan([(positions, len(positions)) for positions in own]))

    @abstractmethod
    def _order(self, batch_size: int, seed: int, epoch: int) -> order.Rows:
        """The positions of an epoch, the same on every rank."""

    @abstractmethod
    def _load(self, plan: Plan) -> Iterator[Batch]:
        """The batches of a plan, in its order."""
