"""Reader for remote or huge shards: each tar is read once, from its beginning to its end."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from mien.config import MienError
from mien.shards import order
from mien.shards.batch import Batch
from mien.shards.decoding import decoded
from mien.shards.index import Index, read_index
from mien.shards.reading import PartReader, Plan
from mien.shards.selection import Selection
from mien.shards.streams import Stream, check_address
from mien.shards.tars import HEADER_BYTES, check_header, cut_off, damaged, tar_ends

_WINDOW = 4096  # faces shuffled among each other; of a rank's own, as many encoded crops are in memory


class StreamingReader(PartReader):
    """Batches of some rows of an index whose tars lie under `address`, a folder or URL.

    None: at the index's origin, else beside the index. As IndexedReader, but sequential: tars come in random
    order, and faces are shuffled within a window that spans several tars. WebDataset opens a URL; where each
    picture begins is known from the index, so no tar header is parsed, and a rank decodes its own faces only.
    workers: loader processes; 0 reads in this one.
    """

    def __init__(
        self,
        source: Path | Index,
        rows: Iterable[int] | order.Rows,
        classes: Sequence[str],
        needs: Iterable[str] = ("faces", "label"),
        label: Literal["expression", "subject"] = "expression",
        threads: int = 2,
        workers: int = 0,
        address: str | None = None,
        window: int = _WINDOW,
        shown: NDArray[np.object_] | None = None,
    ) -> None:
        self._index = source if isinstance(source, Index) else read_index(source)
        super().__init__(Selection(self._index, rows, classes, needs, label, shown))
        self._threads, self._workers, self._window = threads, workers, window
        origin = self._index.origin
        by_index = str(self._index.folder) if origin is None else origin.address
        self._address = (by_index if address is None else address).rstrip("/")
        check_address(self._address)
        self._names, numbers = np.unique(self._index.column("shard").astype(str), return_inverse=True)
        self._tar_of = numbers[self._selection.rows].astype(np.int64)
        self._offsets = self._index.column("offset")[self._selection.rows]
        self._sizes = self._index.column("size")[self._selection.rows]
        self._ends = tar_ends(self._index, numbers)
        sums = self._index.column("crop_sha256")[self._selection.rows] if origin else None
        self._sums = sums  # what came over a network is checked; a folder's tars DVC has checked

    def _order(self, batch_size: int, seed: int, epoch: int) -> order.Rows:
        return order.streamed(self._tar_of, seed, epoch, self._window)

    def _load(self, plan: Plan) -> Iterator[Batch]:
        if self._workers == 0:
            yield from self._read(plan)
            return
        own = torch.Generator()  # or the loader would draw its workers' seeds from the run's generator
        loader = DataLoader(_Part(self, plan), batch_size=None, num_workers=self._workers, generator=own)
        for batch in loader:  # from the workers in turn, so in the plan's order
            if isinstance(batch, str):
                raise MienError(batch)
            yield batch

    def _read(self, plan: Plan) -> Iterator[Batch]:
        fetched: dict[int, memoryview] = {}
        ready = self._fetched(plan, fetched) if "faces" in self._selection.needs else plan.batches
        return decoded(self._selection, ready, fetched.pop, self._threads, plan.seed, plan.epoch or 0)

    def _fetched(self, plan: Plan, into: dict[int, memoryview]) -> Iterator[tuple[order.Rows, int]]:
        """Read on until all crops of the next batch are in `into`, then give that batch."""
        if not plan.batches:
            return
        wanted = np.concatenate([positions for positions, _ in plan.batches])
        reading = wanted[np.lexsort((wanted, order.placed(self._tars(plan))[self._tar_of[wanted]]))]
        arrival = order.placed(reading)
        crops, read = self._crops(reading), 0
        for positions, total in plan.batches:
            while read <= arrival[positions].max():
                into[int(reading[read])] = next(crops)
                read += 1
            yield positions, total

    def _tars(self, plan: Plan) -> order.Rows:
        """The order in which a plan's tars are read."""
        if plan.epoch is None:
            return np.arange(len(self._names))
        return order.streamed_tars(self._tar_of, plan.seed, plan.epoch)

    def _crops(self, reading: order.Rows) -> Iterator[memoryview]:
        """The encoded crops of these positions, which are sorted by tar and by place in it."""
        for number, group in groupby(reading.tolist(), key=lambda position: int(self._tar_of[position])):
            name = str(self._names[number])
            with closing(Stream(self._address, name)) as stream:
                if stream.length is not None and stream.length < self._ends[number]:
                    raise cut_off(self._index, name, stream.length)
                for position in group:
                    size = HEADER_BYTES + int(self._sizes[position])
                    data = stream.take(int(self._offsets[position]) - HEADER_BYTES, size)
                    if len(data) < size:
                        raise cut_off(self._index, name, stream.at)
                    check_header(data, self._selection.keys[position], name)
                    crop = memoryview(data)[HEADER_BYTES:]
                    if self._sums is not None and sha256(crop).hexdigest() != self._sums[position]:
                        raise damaged(self._selection.keys[position], name, ValueError("another digest"))
                    yield crop


class _Part(IterableDataset[Batch | str]):
    """Every n-th batch of a plan, in a loader process; an error travels as its sentence."""

    def __init__(self, reader: StreamingReader, plan: Plan) -> None:
        self._reader, self._plan = reader, plan

    def __iter__(self) -> Iterator[Batch | str]:
        info = get_worker_info()
        number, workers = (info.id, info.num_workers) if info else (0, 1)
        own = replace(self._plan, batches=self._plan.batches[number::workers])
        try:
            yield from self._reader._read(own)
        except MienError as error:
            yield str(error)
