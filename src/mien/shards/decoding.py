"""From encoded crops to batches: decoded in threads straight into the batch, one batch ahead of its use."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mien.shards.batch import Batch
from mien.shards.order import Rows
from mien.shards.selection import Selection
from mien.shards.tars import damaged, decode_into

Fetch = Callable[[int], bytes | memoryview]
"""The encoded crop of a position of the selection; called in several threads."""


def decoded(
    selection: Selection, plan: Iterable[tuple[Rows, int]], fetch: Fetch, threads: int, seed: int, epoch: int
) -> Iterator[Batch]:
    """The batches of a plan: positions of the selection, and how many faces the global batch has.

    MienError names the tar and the key of a picture that is damaged.
    """
    ahead: deque[tuple[Rows, int, Tensor, list[Future[None]]]] = deque()

    def oldest() -> Batch:
        positions, total, faces, futures = ahead.popleft()
        for future in futures:
            future.result()
        return selection.batch(positions, faces, seed, epoch, total)

    with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
        for positions, total in plan:
            ahead.append((positions, total, *_begin(selection, positions, fetch, pool, threads)))
            if len(ahead) > 1:
                yield oldest()
        while ahead:
            yield oldest()


def _begin(
    selection: Selection, positions: Rows, fetch: Fetch, pool: ThreadPoolExecutor, threads: int
) -> tuple[Tensor, list[Future[None]]]:
    if "faces" not in selection.needs:
        return torch.empty((len(positions), 3, 0, 0), dtype=torch.uint8), []
    out = np.empty((len(positions), selection.height, selection.width, 3), dtype=np.uint8)
    chunks = np.array_split(np.arange(len(positions)), min(threads, len(positions)))
    futures = [
        pool.submit(_decode, selection, positions[c].tolist(), fetch, out[c[0] : c[-1] + 1]) for c in chunks
    ]
    # channels last in memory: no copy here, and the layout that convolutions like best
    return torch.from_numpy(out).permute(0, 3, 1, 2), futures


def _decode(selection: Selection, positions: list[int], fetch: Fetch, out: NDArray[np.uint8]) -> None:
    for slot, position in enumerate(positions):
        data = fetch(position)
        try:
            decode_into(data, out[slot])
        except ValueError as error:
            raise damaged(selection.keys[position], selection.shard(position), error) from error
