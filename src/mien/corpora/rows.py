"""What every corpus of loose files needs: keys, hashes, rejects and a word to the user."""

import hashlib
import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.manifest.pictures import Reject, decode, read_bytes

ENDINGS = {".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"}
NAMED = 10  # files that were not understood and are listed by name
KEY_LENGTH = 80

log = logging.getLogger(__name__)
Row = dict[str, Any]
Look = Callable[[NDArray[np.uint8]], str | None]
"""A decoded picture to the reason why it cannot be used, if there is one."""


def examine(
    root: Path, paths: Sequence[str], progress: Callable[[int, int], None], look: Look | None = None
) -> Iterator[Row]:
    """Read and decode each file: `path`, `sha256` and `reject`, in the order of paths."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, row in enumerate(pool.map(lambda path: _examine(root, path, look), paths), 1):
            yield row
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


def reject_copies(rows: Iterable[Row]) -> None:
    """Of files with equal bytes the first stays; within a sequence a face may hold still."""
    first: dict[str, Row] = {}
    for row in rows:
        if row["sha256"] is None or row["reject"] is not None:
            continue
        kept = first.setdefault(row["sha256"], row)
        still = row.get("sequence") is not None and row.get("sequence") == kept.get("sequence")
        if kept["path"] != row["path"] and not still:
            row["reject"] = f"copy of {kept['path']}"


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


def tell(name: str, rows: list[Row]) -> None:
    """Log how many pictures and people there are, and the first rejects."""
    rejects = [row for row in rows if row["reject"] is not None]
    people = {row["subject"] for row in rows} - {None}
    unknown = sum(row["subject"] is None for row in rows)
    log.info("%s: %d pictures of %d people, %d rejected", name, len(rows), len(people), len(rejects))
    if people and unknown:
        log.warning("%s: %d pictures are of nobody known", name, unknown)
    for row in rejects[:NAMED]:
        log.warning("%s: %s is rejected: %s", name, row["path"], row["reject"])
