"""Bytes of one face out of the tars, decoded and checked."""

import os
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from mien.config import MienError
from mien.shards.cache import ShardCache
from mien.shards.index import Index

HEADER_BYTES = 512  # of a tar member, straight before its bytes
SUFFIX = {b"\xff\xd8": "jpg", b"\x89P": "png"}
"""Of a member's name, by the first two bytes of the crop."""


class Tars:
    """Random access to the pictures of an index, from any number of threads.

    Read with pread, not through mmap: as fast, but a tar that shrinks under a running job raises instead of
    killing the process with SIGBUS, and the page cache does not count as this process's memory.
    MienError at once when a tar is missing or ends too early. Tars of an index with an origin are read
    through this machine's cache.
    """

    def __init__(self, index: Index) -> None:
        self._index = index
        self._keys = index.table.column("key").combine_chunks()  # not as objects: these take thrice the place
        self._offsets, self._sizes = index.column("offset"), index.column("size")
        shards = index.table.column("shard").combine_chunks().dictionary_encode()
        self._numbers = np.asarray(shards.indices)
        self._paths = [index.folder / name for name in shards.dictionary.to_pylist()]
        self._handles: list[int | None] = [None] * len(self._paths)
        self._lock = threading.Lock()
        self._cache = None if index.origin is None else ShardCache(index)
        if self._cache is not None:
            return
        for path, end in zip(self._paths, tar_ends(index, self._numbers), strict=True):
            if (size := _size(path)) < end:
                raise cut_off(index, path.name, size)

    def read(self, row: int) -> memoryview:
        """The encoded picture of a row. MienError when the tar does not hold that key there."""
        begin, size = int(self._offsets[row]) - HEADER_BYTES, int(self._sizes[row]) + HEADER_BYTES
        if self._cache is not None:
            data = self._cache.read(self.shard(row), begin, size)
        else:
            handle = self._handle(int(self._numbers[row]))
            data = os.pread(handle, size, begin)
            if len(data) != size:
                raise cut_off(self._index, self.shard(row), os.fstat(handle).st_size)
        check_header(data, self._keys[row].as_py(), self.shard(row))
        return memoryview(data)[HEADER_BYTES:]

    def shard(self, row: int) -> str:
        """File name of the tar that holds a row."""
        name: str = self._paths[int(self._numbers[row])].name
        return name

    def _handle(self, number: int) -> int:
        handle = self._handles[number]
        if handle is not None:
            return handle
        with self._lock:
            if (handle := self._handles[number]) is None:
                try:
                    handle = os.open(self._paths[number], os.O_RDONLY)
                except OSError as error:
                    raise MienError(f"{self._paths[number]} cannot be opened: {error.strerror}.") from error
                self._handles[number] = handle
        return handle

    def __del__(self) -> None:
        for handle in getattr(self, "_handles", ()):
            if handle is not None:
                os.close(handle)


def check_header(header: bytes | memoryview, key: str, shard: str) -> None:
    """Refuse bytes whose tar header names another face than the index does."""
    expected = f"{key}.".encode()
    if bytes(header[: len(expected)]) != expected:
        raise MienError(
            f"{shard} does not hold {key} where the index says; delete the folder and run `dvc repro`."
        )


def tar_ends(index: Index, numbers: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Least sizes of the tars, given the number of each row's tar."""
    ends = np.zeros(int(numbers.max()) + 1, dtype=np.int64)
    np.maximum.at(ends, numbers, index.column("json_offset") + index.column("json_size"))
    return ends


def cut_off(index: Index, shard: str, size: int) -> MienError:
    """The error for a tar of which only `size` bytes are there: names the last key that is whole."""
    ends = index.column("json_offset") + index.column("json_size")
    good = index.keys[(index.column("shard") == shard) & (ends <= size)]
    last = f"the last good key is {good[-1]}" if len(good) else "no key in it is whole"
    return MienError(f"{shard} is cut off after {size} bytes, {last}; delete the folder and run `dvc repro`.")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise MienError(f"{path} is missing; delete the folder and run `dvc repro`.") from error


def decode_into(data: bytes | memoryview, out: NDArray[np.uint8]) -> None:
    """Decode a JPEG or PNG crop into (H, W, 3) RGB. ValueError: damaged, or another size."""
    if bytes(data[:2]) not in SUFFIX:
        raise ValueError("neither JPEG nor PNG")
    if SUFFIX[bytes(data[:2])] == "jpg":
        shape = simplejpeg.decode_jpeg(data, buffer=out).shape
    else:
        image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            raise ValueError("not a picture")
        shape = image.shape
        if shape == out.shape:
            cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=out)
    if shape != out.shape:
        raise ValueError(f"{shape[1]}x{shape[0]} px instead of {out.shape[1]}x{out.shape[0]}")


def damaged(key: str, shard: str, error: ValueError) -> MienError:
    """The error for a picture that does not decode."""
    return MienError(
        f"{shard}: the picture of {key} is damaged ({error}); delete the folder and run `dvc repro`."
    )
