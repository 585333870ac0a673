"""The reader of a part of a corpus: by random access where its tars are at hand, else as a stream."""

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mien.config import MienError
from mien.shards import order
from mien.shards.cache import fits
from mien.shards.index import Index
from mien.shards.indexed import IndexedReader
from mien.shards.reading import PartReader
from mien.shards.streaming import StreamingReader


def read_part(
    index: Index,
    rows: Iterable[int] | order.Rows,
    classes: Sequence[str],
    needs: Iterable[str] = ("faces", "label"),
    label: Literal["expression", "subject"] = "expression",
    threads: int = 2,
    keep_mb: int = 0,
    balanced: bool = False,
    shown: NDArray[np.object_] | None = None,
    people: bool = False,
) -> PartReader:
    """An IndexedReader; a StreamingReader where the tars are in an object store and too many for the cache.

    MienError: balanced batches of such a corpus, whose faces would be read from everywhere at once.
    """
    if fits(index):
        return IndexedReader(index, rows, classes, needs, label, threads, keep_mb, balanced, shown, people)
    if balanced:
        assert index.origin is not None
        raise MienError(
            f"{index.folder.name} is larger than half of cluster.cache_mb = {index.origin.cache_mb}, so that "
            "it can only be streamed, but balanced batches are asked for; raise cluster.cache_mb."
        )
    return StreamingReader(index, rows, classes, needs, label, threads, shown=shown)
