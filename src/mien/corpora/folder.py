"""The user's own photographs: `ROOT/<class>/*.{jpg,png,...}`, classes mapped to expressions by params.yaml.

Every file with a picture's ending becomes a row, with a reason where it cannot be used. The photographs
stay where they are.
"""

import csv
import difflib
import logging
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath

import pyarrow as pa

from mien.config import MienError
from mien.config.corpora import FolderCorpus
from mien.corpora.rows import ENDINGS, NAMED, Row, by_key, examine, keys_of, write_manifest
from mien.manifest.expressions import EXPRESSIONS

log = logging.getLogger(__name__)
Subject = Callable[[str], str | None]


def read_folder(name: str, config: FolderCorpus, into: Path, progress: Callable[[int, int], None]) -> None:
    """Write `into/manifest.parquet`, one row a picture file, sorted by key.

    MienError: the tree is missing or empty, a class folder is not in `classes`, or subjects cannot be read.
    """
    root = Path(config.source)
    paths = pa.array(_find(name, root, config.classes))
    subject = _subjects(name, root, config)
    keys = keys_of(paths)
    seen = examine(root, paths, progress)

    def rows() -> Iterator[Row]:
        for number in map(int, by_key(keys)):
            path = paths[number].as_py()
            known = {"path": path, "key": keys[number].as_py(), "corpus": name, "subject": subject(path)}
            yield known | {"expression": config.classes[path.split("/")[0]]} | seen.of(number)

    write_manifest(name, rows(), into, config.gated)


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
        for path in _files(root, folder):
            (found if PurePath(path).suffix.lower() in ENDINGS else odd).append(path)
    odd += [p.name for p in sorted(root.iterdir()) if p.is_file() and p.suffix.lower() in ENDINGS]
    if odd:
        more = f" and {len(odd) - NAMED} more" if len(odd) > NAMED else ""
        log.warning("%s: not understood and left out: %s%s", name, ", ".join(odd[:NAMED]), more)
    if not found:
        raise MienError(
            f"{root} holds no pictures; corpora.{name}.source must hold class folders with pictures."
        )
    return sorted(found)


def _files(root: Path, folder: str) -> Iterator[str]:
    """All files at any depth, hidden ones aside; a folder named x.jpg counts as a file that fails."""
    for name in sorted(entry.name for entry in os.scandir(root / folder)):
        path = f"{folder}/{name}"
        if name.startswith("."):
            continue
        if PurePath(name).suffix.lower() not in ENDINGS and (root / path).is_dir():
            yield from _files(root, path)
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
