"""Where rendered pictures are kept: plain tar files with fixed times and owners, and the manifest beside
them.

A part is one person's tar and table; it appears whole or not at all. Parts are bound into few big tars at the
end.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from mien.corpora.rendered.rows import Row
from mien.corpora.tarball import BLOCK, LARGEST, member
from mien.manifest.tables import MANIFEST, whole, write_tables


def write_part(part: Path, pictures: Iterable[tuple[Row, bytes]]) -> None:
    """Write one part: `part.tar` without its end blocks, then `part.json` with its rows and hash."""
    rows: list[Row] = []
    digest = hashlib.sha256()
    with whole(part.with_suffix(".tar")) as scratch, scratch.open("wb") as file:
        at = 0
        for row, jpeg in pictures:
            entry, head = member(f"{row['key']}.jpg", jpeg)
            rows.append(row | {"offset": at + head, "size": len(jpeg)})
            file.write(entry)
            digest.update(entry)
            at += len(entry)
    with whole(part.with_suffix(".json")) as scratch:
        scratch.write_text(json.dumps({"sha256": digest.hexdigest(), "rows": rows}))


def is_whole(part: Path, pictures: int) -> bool:
    """Say whether a part is there, has that many pictures and still has the bytes it was written with."""
    tar, table = part.with_suffix(".tar"), part.with_suffix(".json")
    if not (tar.is_file() and table.is_file()):
        return False
    listing = json.loads(table.read_text())
    digest = hashlib.sha256()
    with tar.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return bool(listing["sha256"] == digest.hexdigest() and len(listing["rows"]) == pictures)


def bind(parts: list[Path], into: Path) -> None:
    """Join parts into `into/pictures-NNNNN.tar` of about LARGEST bytes, then write the manifest."""
    write_tables(_bound(parts, into), into / "manifest.parquet", MANIFEST)


def _bound(parts: list[Path], into: Path) -> Iterator[pa.Table]:
    """Write the tars and give each part's rows, which are held for one part at a time."""
    for number, group in enumerate(_groups(parts)):
        name = f"pictures-{number:05d}.tar"
        with whole(into / name) as scratch, scratch.open("wb") as file:
            for part in group:
                yield _table(name, _append(part, file))
            file.write(bytes(2 * BLOCK))


def _table(tar: str, rows: list[Row]) -> pa.Table:
    columns = {field.name: [row.get(field.name) for row in rows] for field in MANIFEST}
    return pa.table(columns | {"path": [tar] * len(rows)}, schema=MANIFEST)


def _groups(parts: list[Path]) -> Iterable[list[Path]]:
    group: list[Path] = []
    size = 0
    for part in parts:
        group.append(part)
        size += part.with_suffix(".tar").stat().st_size
        if size >= LARGEST:
            yield group
            group, size = [], 0
    if group:
        yield group


def _append(part: Path, file: BinaryIO) -> list[Row]:
    """Copy a part's tar to the end of an open one; the part's rows, their offsets now those in that tar."""
    rows: list[Row] = json.loads(part.with_suffix(".json").read_text())["rows"]
    start = file.tell()
    with part.with_suffix(".tar").open("rb") as source:
        while block := source.read(1 << 20):
            file.write(block)
    return [row | {"offset": row["offset"] + start} for row in rows]
