"""Tars of an object store on this machine's disk: whole, checked, and within a bound."""

import errno
import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from mien.config import MienError
from mien.shards.index import Index
from mien.shards.object_store import Ranges

TOUCHED_EVERY_S = 20.0
LOOK_EVERY_S = 0.05
_BLOCK_BYTES = 8 << 20
_MB = 1 << 20


def cache_folder() -> Path:
    """Where all processes of this user on this machine keep tars: below TMPDIR, closed to others."""
    return Path(tempfile.gettempdir()) / f"mien-{os.getuid()}" / "shards"


def tars_bytes(index: Index) -> int:
    """How large an index's tars are together, to the last face."""
    ends = index.column("json_offset") + index.column("json_size")
    names, numbers = np.unique(index.column("shard").astype(str), return_inverse=True)
    largest = np.zeros(len(names), dtype=np.int64)
    np.maximum.at(largest, numbers, ends)
    return int(largest.sum())


def fits(index: Index) -> bool:
    """Whether random access through the cache is sensible: a second corpus of that size fits beside it."""
    return index.origin is None or 2 * tars_bytes(index) <= index.origin.cache_mb * _MB


class ShardCache:
    """Random access to the tars of an index that has an origin, from any number of threads and processes.

    A tar is fetched when it is first read, checked against the index, and then appears in one piece. When
    `cache_mb` is reached, the tars that nobody has read for longest go; who reads one again fetches it again.
    MienError: the store stays away, a tar is not what the index says, larger than the cache, or no room.
    """

    def __init__(self, index: Index) -> None:
        assert index.origin is not None
        self._index, self._origin = index, index.origin
        self._root = cache_folder()
        self._folder = self._root / self._origin.address.rsplit("/", 1)[-1]
        self._root.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._touched: dict[str, float] = {}

    def read(self, name: str, begin: int, size: int) -> bytes:
        """`size` bytes of a tar from `begin` on; fewer where it ends."""
        while True:
            try:
                handle = os.open(self._folder / name, os.O_RDONLY)
            except FileNotFoundError:
                self._fetch(name)
                continue  # it may have gone again by now
            try:
                self._touch(name)
                return os.pread(handle, size, begin)
            finally:
                os.close(handle)

    def _touch(self, name: str) -> None:
        """Note that a tar is in use, now and then."""
        now = time.monotonic()
        if now - self._touched.get(name, -TOUCHED_EVERY_S) >= TOUCHED_EVERY_S:
            self._touched[name] = now
            try:
                os.utime(self._folder / name)
            except FileNotFoundError:
                return

    def _fetch(self, name: str) -> None:
        """Have a tar in the cache, fetched by this process or by another one meanwhile."""
        path, part = self._folder / name, self._folder / f".{name}.part"
        with _locked(self._folder / f".{name}.lock"):
            if path.exists():
                return
            address = f"{self._origin.address}/{name}"
            try:
                source = Ranges(address)
            except FileNotFoundError:
                raise MienError(f"{address} is missing; train again, which puts it there.") from None
            part.unlink(missing_ok=True)  # of a process that died
            try:
                self._reserve(part, source.length)
                _copy(source, part)
                self._check(part, name)
                part.rename(path)
            except OSError as error:
                raise MienError(
                    f"{self._folder} cannot take {name} ({error.strerror or error}); make room there or "
                    "lower cluster.cache_mb."
                ) from error
            finally:
                source.close()
                part.unlink(missing_ok=True)

    def _reserve(self, part: Path, size: int) -> None:
        """Take a place of `size` bytes, for which tars that nobody has read for longest may go."""
        bound = self._origin.cache_mb * _MB
        if size > bound:
            raise MienError(f"cluster.cache_mb is {self._origin.cache_mb}, less than one tar; raise it.")
        while not self._taken(part, size, bound):
            time.sleep(LOOK_EVERY_S)  # others are filling all that there is

    def _taken(self, part: Path, size: int, bound: int) -> bool:
        """Whether there was a place; none while tars that are being fetched take up the bound."""
        with _locked(self._root / ".lock"):
            held = sorted(_held(self._root), key=lambda tar: tar[1])  # the longest unread first
            used = sum(size for _, _, size in held)
            for path, _, freed in held:
                if used + size <= bound and _allocated(part, size):
                    return True
                if _abandoned(path):
                    path.unlink(missing_ok=True)
                    used -= freed
            if used + size > bound:
                return False
            with part.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, size)  # a full disk says so now
            return True

    def _check(self, part: Path, name: str) -> None:
        """Compare each face and its facts with the digests of the index."""
        rows = np.flatnonzero(self._index.column("shard") == name)
        taken = self._index.table.select(
            ["key", "offset", "size", "crop_sha256", "json_offset", "json_size", "json_sha256"]
        ).take(rows)
        with part.open("rb") as file:
            for row in taken.to_pylist():
                for what in ("crop", "json"):
                    prefix = "" if what == "crop" else "json_"
                    file.seek(row[f"{prefix}offset"])
                    data = file.read(row[f"{prefix}size"])
                    if hashlib.sha256(data).hexdigest() != row[f"{what}_sha256"]:
                        raise MienError(
                            f"{self._origin.address}/{name} does not hold {row['key']} as the index says; "
                            "delete that folder in the store and train again, which puts it there."
                        )


def _allocated(part: Path, size: int) -> bool:
    """Take the place on the disk; False if the disk, smaller than the bound, has none left."""
    try:
        with part.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return False
    return True


def _copy(source: Ranges, part: Path) -> None:
    with part.open("r+b") as file:
        while data := source.read(_BLOCK_BYTES):
            file.write(data)


def _held(root: Path) -> Iterator[tuple[Path, float, int]]:
    """Every tar and every part of one in the cache, with when it was last read and its size."""
    for path in (*root.glob("*/*.tar"), *root.glob("*/.*.part")):
        try:
            found = path.stat()
        except FileNotFoundError:
            continue
        yield path, found.st_mtime, found.st_size


def _abandoned(path: Path) -> bool:
    """False for a part that somebody is filling; readers need nothing but the moment of their read."""
    if path.suffix != ".part":
        return True
    with path.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One thread of one process at a time; a process that dies lets go."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
