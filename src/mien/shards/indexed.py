"""Reader for local shards: any order, decoded in threads, whole batches handed over."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mien.shards import order
from mien.shards.batch import Batch
from mien.shards.index import Index, read_index
from mien.shards.selection import Selection
from mien.shards.tars import Tars, damaged, decode_into


class IndexedReader:
    """Batches of some rows of a shard folder by random access; the next batch is decoded while one is used.

    `rows` are row numbers of the index, `classes` the class order of the labels, `needs` the Batch fields
    that are loaded. `labels` is the number of different labels. MienError: a tar is missing, cut off or
    damaged.
    """

    def __init__(
        self,
        source: Path | Index,
        rows: Iterable[int] | order.Rows,
        classes: Sequence[str],
        needs: Iterable[str] = ("faces", "label"),
        label: Literal["expression", "subject"] = "expression",
        threads: int = 2,
    ) -> None:
        index = source if isinstance(source, Index) else read_index(source)
        self._selection = Selection(index, rows, classes, needs, label)
        self._tars = Tars(index)
        self._threads = threads
        self.labels = self._selection.labels

    def __len__(self) -> int:
        return len(self._selection)

    def steps(self, batch_size: int) -> int:
        """Steps of a training epoch, the same on every rank."""
        return order.steps_of(len(self), batch_size)

    def batches(
        self, batch_size: int, seed: int, epoch: int, rank: int = 0, world: int = 1, start: int = 0
    ) -> Iterator[Batch]:
        """This rank's part of each global batch, shuffled by (seed, epoch), from step `start` on.

        Every face at most once, the same steps on each rank; the incomplete last global batch is left out.
        """
        own = order.share(order.shuffled(len(self), seed, epoch), batch_size, rank, world, start)
        return self._decoded([(positions, batch_size) for positions in own], seed, epoch)

    def in_order(self, batch_size: int, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """Every face exactly once over the ranks, in the index's order; the last batch may be short."""
        own = order.in_turn(len(self), batch_size, rank, world)
        return self._decoded([(positions, len(positions)) for positions in own], 0, 0)

    def _decoded(self, plan: Sequence[tuple[order.Rows, int]], seed: int, epoch: int) -> Iterator[Batch]:
        ahead: deque[tuple[order.Rows, int, Tensor, list[Future[None]]]] = deque()
        with ThreadPoolExecutor(self._threads, thread_name_prefix="decode") as pool:
            for positions, total in plan:
                ahead.append((positions, total, *self._begin(pool, positions)))
                if len(ahead) > 1:
                    yield self._end(*ahead.popleft(), seed, epoch)
            while ahead:
                yield self._end(*ahead.popleft(), seed, epoch)

    def _begin(self, pool: ThreadPoolExecutor, positions: order.Rows) -> tuple[Tensor, list[Future[None]]]:
        if "faces" not in self._selection.needs:
            return torch.empty((len(positions), 3, 0, 0), dtype=torch.uint8), []
        out = np.empty((len(positions), self._selection.height, self._selection.width, 3), dtype=np.uint8)
        chunks = np.array_split(np.arange(len(positions)), min(self._threads, len(positions)))
        futures = [pool.submit(self._decode, positions[c].tolist(), out[c[0] : c[-1] + 1]) for c in chunks]
        # channels last in memory: no copy here, and the layout that convolutions like best
        return torch.from_numpy(out).permute(0, 3, 1, 2), futures

    def _decode(self, positions: list[int], out: NDArray[np.uint8]) -> None:
        rows = self._selection.rows
        for slot, position in enumerate(positions):
            row = int(rows[position])
            data = self._tars.read(row)
            try:
                decode_into(data, out[slot])
            except ValueError as error:
                raise damaged(self._selection.keys[position], self._tars.shard(row), error) from error

    def _end(
        self,
        positions: order.Rows,
        total: int,
        faces: Tensor,
        futures: list[Future[None]],
        seed: int,
        epoch: int,
    ) -> Batch:
        for future in futures:
            future.result()
        return self._selection.batch(positions, faces, seed, epoch, total)
