"""Reader for local shards: any order, by random access."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mien.shards import order
from mien.shards.batch import Batch
from mien.shards.decoding import decoded
from mien.shards.index import Index, read_index
from mien.shards.reading import PartReader, Plan
from mien.shards.selection import Selection
from mien.shards.tars import Tars

CHUNK = 256
"""Faces decoded at a time for keeping."""


class IndexedReader(PartReader):
    """Batches of some rows of a shard folder by random access; the next batch is decoded while one is used.

    `rows` are row numbers of the index, `classes` the class order of the labels, `needs` the Batch fields
    that are loaded. `labels` is the number of different labels. Faces that fit into `keep_mb` are
    decoded once and kept. `balanced` batches have equally many faces of each class, and with `people`
    of a few people each.
    `shown`: expressions to read in place of the index's own (see Selection). MienError: a tar is missing, cut
    off or damaged.
    """

    def __init__(
        self,
        source: Path | Index,
        rows: Iterable[int] | order.Rows,
        classes: Sequence[str],
        needs: Iterable[str] = ("faces", "label"),
        label: Literal["expression", "subject"] = "expression",
        threads: int = 2,
        keep_mb: int = 0,
        balanced: bool = False,
        shown: NDArray[np.object_] | None = None,
        people: bool = False,
    ) -> None:
        index = source if isinstance(source, Index) else read_index(source)
        super().__init__(Selection(index, rows, classes, needs, label, shown))
        self._tars = Tars(index)
        self._threads, self._balanced, self._people = threads, balanced, people
        size = len(self) * self._selection.height * self._selection.width * 3
        self._keep = "faces" in self._selection.needs and size <= keep_mb * 2**20
        self._kept: Tensor | None = None  # (N, 3, H, W)

    def _order(self, batch_size: int, seed: int, epoch: int) -> order.Rows:
        if not self._balanced:
            return order.shuffled(len(self), seed, epoch)
        label, subject = self._selection.label, self._selection.subject
        if self._people:
            return order.balanced_by_people(label, subject, batch_size, seed, epoch)
        return order.balanced(label, batch_size, seed, epoch)

    def _load(self, plan: Plan) -> Iterator[Batch]:
        epoch = plan.epoch or 0
        if not self._keep:
            return decoded(self._selection, plan.batches, self._fetch, self._threads, plan.seed, epoch)
        return self._recalled(plan.batches, plan.seed, epoch)

    def _recalled(self, plan: Sequence[tuple[order.Rows, int]], seed: int, epoch: int) -> Iterator[Batch]:
        if self._kept is None:
            parts = [(part, len(part)) for part in order.in_turn(len(self), CHUNK, 0, 1)]
            chunks = decoded(self._selection, parts, self._fetch, self._threads, 0, 0)
            self._kept = torch.cat([chunk.faces for chunk in chunks])
        for positions, total in plan:
            faces = self._kept[torch.from_numpy(positions)]
            yield self._selection.batch(positions, faces, seed, epoch, total)

    def _fetch(self, position: int) -> memoryview:
        return self._tars.read(int(self._selection.rows[position]))
