"""What every corpus of loose files needs: keys, hashes, rejects and a word to the user."""

import hashlib
import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mien.manifest.pictures import Reject, decode, read_bytes
from mien.manifest.tables import MANIFEST

ENDINGS = {".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"}
NAMED = 10  # files that were not understood and are listed by name
KEY_LENGTH = 80
_AT_ONCE = 1024  # rows that are Python objects: a waiting file and its row take some 4 kB

log = logging.getLogger(__name__)
Row = dict[str, Any]
Look = Callable[[NDArray[np.uint8]], str | None]
"""A decoded picture to the reason why it cannot be used, if there is one."""


def examine(
    root: Path, paths: Sequence[str], progress: Callable[[int, int], None], look: Look | None = None
) -> Iterator[Row]:
    """Read and decode each file: `path`, `sha256` and `reject`, in the order of paths."""
    done = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for begin in range(0, len(paths), _AT_ONCE):
            for row in pool.map(lambda path: _examine(root, path, look), paths[begin : begin + _AT_ONCE]):
                yield row
                done += 1
                progress(done, len(paths))


def _examine(root: Path, path: str, look: Look | None) -> Row:
    digest = reason = None
    try:
        data = read_bytes(root, path)
        digest = hashlib.sha256(data).hexdigest()
        picture = decode(data)
        reason = None if look is None else look(picture)
    except Reject as reject:
        reason = str(reject)
    return {"path": path, "sha256": digest, "reject": reason}


def copies_rejected(rows: Iterable[Row]) -> Iterator[Row]:
    """The rows; of files with equal bytes the first stays, but within a sequence a face may hold still."""
    first: dict[bytes, tuple[str, str | None]] = {}
    for row in rows:
        if row["sha256"] is not None and row["reject"] is None:
            here = row["path"], row.get("sequence")
            path, sequence = first.setdefault(bytes.fromhex(row["sha256"]), here)
            still = sequence is not None and sequence == row.get("sequence")
            if path != row["path"] and not still:
                row["reject"] = f"copy of {path}"
        yield row


def as_manifest(rows: Iterable[Row]) -> pa.Table:
    """MANIFEST's columns, sorted by key; what a row lacks is null."""
    waiting = iter(rows)
    parts = [MANIFEST.empty_table()]
    while some := list(islice(waiting, _AT_ONCE)):
        parts.append(pa.Table.from_pylist(some, schema=MANIFEST))
    return pa.concat_tables(parts).sort_by("key").combine_chunks()


def keys_of(paths: list[str]) -> dict[str, str]:
    """A key of [a-z0-9_-] for each path: its own letters, with part of its hash where these do not tell."""
    slugs = {path: re.sub(r"[^a-z0-9_-]+", "-", path.rsplit(".", 1)[0].lower()).strip("-") for path in paths}
    shared = Counter(slugs.values())
    keys = {}
    for path, slug in slugs.items():
        if shared[slug] > 1 or not slug or len(slug) > KEY_LENGTH:
            # readable paths keep readable keys; all others carry enough of a hash never to meet another key
            slug = f"{slug[:KEY_LENGTH]}-{hashlib.sha256(path.encode()).hexdigest()[:12]}".lstrip("-")
        keys[path] = slug
    return keys


def tell(name: str, manifest: pa.Table) -> None:
    """Log how many pictures and people there are, and the first rejects."""
    rejects = manifest.filter(pc.is_valid(manifest["reject"]))
    people, unknown = pc.count_distinct(manifest["subject"]).as_py(), manifest["subject"].null_count
    log.info("%s: %d pictures of %d people, %d rejected", name, len(manifest), people, len(rejects))
    if people and unknown:
        log.warning("%s: %d pictures are of nobody known", name, unknown)
    for row in rejects.slice(0, NAMED).to_pylist():
        log.warning("%s: %s is rejected: %s", name, row["path"], row["reject"])
