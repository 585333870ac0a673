"""What every corpus of loose files needs: keys, hashes, rejects and a word to the user."""

import hashlib
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mien.corpora import MANIFEST_FILE
from mien.manifest.pictures import Reject, decode, read_bytes
from mien.manifest.tables import MANIFEST, write_tables

ENDINGS = {".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"}
NAMED = 10  # files that were not understood and are listed by name
KEY_LENGTH = 80
AT_ONCE = 1024  # rows that are Python objects: a waiting file and its row take some 4 kB

log = logging.getLogger(__name__)
Row = dict[str, Any]
Look = Callable[[NDArray[np.uint8]], str | None]
"""A decoded picture to the reason why it cannot be used, if there is one."""


@dataclass(frozen=True)
class Seen:
    """What reading files gave, some 40 bytes a file: SHA-256 (N, 32), 0 where a file could not be read.

    copy_of (N,): the first file with equal bytes, -1 where there is none. rejects: by the file's number.
    """

    paths: pa.StringArray
    digests: NDArray[np.uint8]
    copy_of: NDArray[np.int32]
    rejects: dict[int, str]

    def of(self, number: int) -> Row:
        """`sha256` and `reject` of a file."""
        digest, first = self.digests[number].tobytes(), int(self.copy_of[number])
        reject = self.rejects.get(number) if first < 0 else f"copy of {self.paths[first].as_py()}"
        return {"sha256": digest.hex() if any(digest) else None, "reject": reject}


def examine(
    root: Path,
    paths: pa.StringArray,
    progress: Callable[[int, int], None],
    look: Look | None = None,
    sequences: pa.StringArray | None = None,
) -> Seen:
    """Read and decode each file; of files with equal bytes the first stays, the others are rejected.

    sequences: which sequence each file is of, or null: within one a face may hold still.
    """
    digests, rejects, done = np.zeros((len(paths), 32), dtype=np.uint8), dict[int, str](), 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for begin in range(0, len(paths), AT_ONCE):
            some = paths.slice(begin, AT_ONCE).to_pylist()
            for digest, reason in pool.map(lambda path: _examine(root, path, look), some):
                digests[done] = np.frombuffer(digest, dtype=np.uint8)
                if reason is not None:
                    rejects[done] = reason
                done += 1
                progress(done, len(paths))
    good = np.array([row not in rejects for row in range(len(paths))], dtype=np.bool_)
    return Seen(paths, digests, _copies(digests, np.flatnonzero(good), sequences), rejects)


def _examine(root: Path, path: str, look: Look | None) -> tuple[bytes, str | None]:
    digest = bytes(32)
    try:
        data = read_bytes(root, path)
        digest = hashlib.sha256(data).digest()
        picture = decode(data)
        return digest, None if look is None else look(picture)
    except Reject as reject:
        return digest, str(reject)


def _copies(
    digests: NDArray[np.uint8], rows: NDArray[np.int64], sequences: pa.StringArray | None
) -> NDArray[np.int32]:
    """For each file the first of `rows` with its digest, but -1 if that is itself or of its sequence."""
    found = np.full(len(digests), -1, dtype=np.int32)
    words = digests.view(np.uint64)
    order = rows[np.lexsort([words[rows, k] for k in range(words.shape[1])])]
    later = np.zeros(len(order), dtype=np.bool_)
    later[1:] = (words[order[1:]] == words[order[:-1]]).all(axis=1)
    leads = np.maximum.accumulate(np.where(later, 0, np.arange(len(order))))
    found[order[later]] = order[leads[later]]
    if sequences is not None:
        for row in order[later].tolist():
            sequence = sequences[row].as_py()
            if sequence is not None and sequence == sequences[int(found[row])].as_py():
                found[row] = -1
    return found


def write_manifest(name: str, rows: Iterable[Row], into: Path, gated: bool) -> None:
    """Write `into/manifest.parquet` from rows in the order of keys, and log what is in it.

    What a row lacks is null. Few rows are in memory at a time.
    """
    waiting = iter(rows)

    def tables() -> Iterator[pa.Table]:
        while some := list(islice(waiting, AT_ONCE)):
            yield pa.Table.from_pylist(some, schema=MANIFEST)

    write_tables(tables(), into / MANIFEST_FILE, MANIFEST, gated)
    tell(name, into / MANIFEST_FILE)


def key_of(name: str, shared: bool = False) -> str:
    """A key of [a-z0-9_-] for a name: its own letters, with part of its hash where these do not tell."""
    slug = re.sub(r"[^a-z0-9_-]+", "-", name.rsplit(".", 1)[0].lower()).strip("-")
    if shared or not slug or len(slug) > KEY_LENGTH:
        # readable paths keep readable keys; all others carry enough of a hash never to meet another key
        return f"{slug[:KEY_LENGTH]}-{hashlib.sha256(name.encode()).hexdigest()[:12]}".lstrip("-")
    return slug


def keys_of(names: pa.StringArray) -> pa.StringArray:
    """The key of each name; those that would share one are told apart."""
    parts = (names.slice(at, AT_ONCE).to_pylist() for at in range(0, len(names), AT_ONCE))
    keys = pa.concat_arrays([pa.array([], pa.string()), *(pa.array(map(key_of, part)) for part in parts)])
    order = by_key(keys)
    ordered = keys.take(pa.array(order))
    same = np.asarray(pc.equal(ordered[1:], ordered[:-1]).to_numpy(zero_copy_only=False), dtype=np.bool_)
    shared = np.zeros(len(keys), dtype=np.bool_)
    shared[order[1:][same]] = shared[order[:-1][same]] = True
    apart = [key_of(names[int(row)].as_py(), shared=True) for row in np.flatnonzero(shared)]
    return pc.replace_with_mask(keys, pa.array(shared), pa.array(apart, pa.string()))


def by_key(keys: pa.StringArray) -> NDArray[np.int64]:
    """Row numbers in the order of their keys."""
    return np.asarray(pc.sort_indices(keys), dtype=np.int64)


def tell(name: str, manifest: Path) -> None:
    """Log how many pictures and people a manifest has, and the first rejects."""
    people: set[str] = set()
    pictures = unknown = rejected = 0
    first: list[Row] = []
    with pq.ParquetFile(manifest) as file:
        for part in file.iter_batches(columns=["path", "subject", "reject"]):
            pictures += len(part)
            unknown += part["subject"].null_count
            people.update(part["subject"].drop_null().unique().to_pylist())
            rejects = part.filter(pc.is_valid(part["reject"]))
            rejected += len(rejects)
            first += rejects.slice(0, NAMED - len(first)).to_pylist()
    log.info("%s: %d pictures of %d people, %d rejected", name, pictures, len(people), rejected)
    if people and unknown:
        log.warning("%s: %d pictures are of nobody known", name, unknown)
    for row in first:
        log.warning("%s: %s is rejected: %s", name, row["path"], row["reject"])
