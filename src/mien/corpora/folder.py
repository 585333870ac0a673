"""The user's own photographs: `ROOT/<class>/*.{jpg,png,...}`, classes mapped to expressions by params.yaml.

Every file with a picture's ending becomes a row, with a reason where it cannot be used. The photographs
stay where they are.
"""

import csv
import difflib
import hashlib
import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa

from mien.config import MienError
from mien.config.corpora import FolderCorpus
from mien.manifest.expressions import EXPRESSIONS
from mien.manifest.pictures import Reject, decode, read_bytes
from mien.manifest.tables import MANIFEST, write_table

ENDINGS = {".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"}
NAMED = 10  # files that were not understood and are listed by name
KEY_LENGTH = 80

log = logging.getLogger(__name__)
Subject = Callable[[str], str | None]


def read_folder(name: str, config: FolderCorpus, into: Path, progress: Callable[[int, int], None]) -> None:
    """Write `into/manifest.parquet`, one row a picture file, sorted by key.

    MienError: the tree is missing or empty, a class folder is not in `classes`, or subjects cannot be read.
    """
    root = Path(config.source)
    paths = _find(name, root, config.classes)
    subject = _subjects(name, root, config)
    keys = _keys(paths)
    rows: list[dict[str, Any]] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for row in pool.map(lambda path: _examine(root, path), paths):
            folder = row["path"].split("/")[0]
            row |= {"key": keys[row["path"]], "corpus": name, "expression": config.classes[folder]}
            rows.append(row | {"subject": subject(row["path"])})
            progress(len(rows), len(paths))
    _reject_copies(rows)
    rows.sort(key=lambda row: str(row["key"]))
    _tell(name, rows)
    write_table(pa.Table.from_pylist(rows, schema=MANIFEST), into / "manifest.parquet", MANIFEST)


def _find(name: str, root: Path, classes: dict[str, str]) -> list[str]:
    """Paths of all picture files below the class folders, relative to the root, sorted."""
    if not root.is_dir():
        raise MienError(
            f"corpora.{name}.source is {root}, which is not a folder; give the folder of class folders."
        )
    for folder, expression in classes.items():
        if expression not in EXPRESSIONS:
            known = ", ".join(EXPRESSIONS)
            raise MienError(f"corpora.{name}.classes.{folder} is {expression!r}; it must be one of {known}.")
    folders = sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    for folder in folders:
        if folder not in classes:
            raise MienError(_unknown(name, root / folder, folder, classes))
    found: list[str] = []
    odd: list[str] = []
    for folder in folders:
        for path in _files(root / folder):
            (found if path.suffix.lower() in ENDINGS else odd).append(path.relative_to(root).as_posix())
    odd += [p.name for p in sorted(root.iterdir()) if p.is_file() and p.suffix.lower() in ENDINGS]
    if odd:
        more = f" and {len(odd) - NAMED} more" if len(odd) > NAMED else ""
        log.warning("%s: not understood and left out: %s%s", name, ", ".join(odd[:NAMED]), more)
    if not found:
        raise MienError(
            f"{root} holds no pictures; corpora.{name}.source must hold class folders with pictures."
        )
    return sorted(found)


def _files(folder: Path) -> Iterator[Path]:
    """All files at any depth, hidden ones aside; a folder named x.jpg counts as a file that fails."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir() and path.suffix.lower() not in ENDINGS:
            yield from _files(path)
        else:
            yield path


def _unknown(name: str, path: Path, folder: str, classes: dict[str, str]) -> str:
    near = difflib.get_close_matches(folder, classes, n=1) or difflib.get_close_matches(
        folder.lower(), EXPRESSIONS, n=1
    )
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(classes)}."
    return (
        f"{path} is a folder that corpora.{name}.classes does not name; add it there or move it away; {hint}"
    )


def _examine(root: Path, path: str) -> dict[str, Any]:
    """Read and decode one file: its hash, and why it cannot be used."""
    digest = reason = None
    try:
        data = read_bytes(root, path)
        digest = hashlib.sha256(data).hexdigest()
        decode(data)
    except Reject as reject:
        reason = str(reject)
    return {"path": path, "sha256": digest, "reject": reason}


def _reject_copies(rows: Iterable[dict[str, Any]]) -> None:
    """Of files with equal bytes the first by path stays."""
    first: dict[str, str] = {}
    for row in rows:
        if row["sha256"] is None or row["reject"] is not None:
            continue
        kept = first.setdefault(row["sha256"], row["path"])
        if kept != row["path"]:
            row["reject"] = f"copy of {kept}"


def _keys(paths: list[str]) -> dict[str, str]:
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


def _subjects(name: str, root: Path, config: FolderCorpus) -> Subject:
    """Who is on a picture, by its path relative to the root."""
    if config.subject_csv is not None:
        known = _read_subjects(name, root / config.subject_csv)
        return lambda path: known.get(path)
    if config.subject_regex is not None:
        try:
            pattern = re.compile(config.subject_regex)
        except re.error as error:
            raise MienError(f"corpora.{name}.subject_regex is not a regular expression: {error}.") from error
        if pattern.groups < 1:
            raise MienError(
                f"corpora.{name}.subject_regex needs a group, e.g. '^(\\d+)_', whose match is the subject."
            )
        return lambda path: match.group(1) if (match := pattern.search(Path(path).name)) else None
    return lambda path: None


def _read_subjects(name: str, path: Path) -> dict[str, str]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            lacking = {"file", "subject"} - set(reader.fieldnames or [])
            if lacking:
                raise MienError(
                    f"{path} lacks the column {sorted(lacking)[0]!r}; corpora.{name}.subject_csv needs both."
                )
            return {row["file"]: row["subject"] for row in reader if row["subject"]}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MienError(
            f"{path}, which corpora.{name}.subject_csv names, cannot be read: {error}."
        ) from error


def _tell(name: str, rows: list[dict[str, Any]]) -> None:
    rejects = [row for row in rows if row["reject"] is not None]
    people = {row["subject"] for row in rows} - {None}
    unknown = sum(row["subject"] is None for row in rows)
    log.info("%s: %d pictures of %d people, %d rejected", name, len(rows), len(people), len(rejects))
    if people and unknown:
        log.warning("%s: %d pictures are of nobody known", name, unknown)
    for row in rejects[:NAMED]:
        log.warning("%s: %s is rejected: %s", name, row["path"], row["reject"])
