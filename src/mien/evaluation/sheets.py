"""Pictures of the page that show faces: a contact sheet, and landmarks drawn on crops."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

from mien.faces.landmarks import Points, carried, normalised_errors
from mien.manifest.expressions import classes_of
from mien.manifest.pictures import Reject, decode, read_bytes

THUMB_PX = 144
FACE_PX = 320
EXAMPLE_PX = 320
QUALITY = 85
FOUND, GIVEN = (0, 229, 255), (255, 140, 0)


@dataclass(frozen=True)
class Example:
    """One whole picture, at most EXAMPLE_PX wide or high."""

    jpeg: bytes
    expression: str


@dataclass(frozen=True)
class Sheet:
    """People x expressions; a JPEG or None in each place."""

    expressions: Sequence[str]
    people: Sequence[tuple[str, Sequence[bytes | None]]]


@dataclass(frozen=True)
class MarkedFace:
    """A crop with its landmarks drawn."""

    jpeg: bytes
    expression: str
    error: (
        float | None
    )  # mean distance to the given points over that of the outer eye corners; None: none given


def contact_sheet(manifest: pa.Table, root: Path, people: int) -> Sheet:
    """One picture of each expression of the first `people` persons that have the most expressions.

    Neighbouring rows take different ones of a person's pictures, so that all conditions come up. Frames of
    sequences are passed over where there is a picture. root: what the manifest's paths are relative to.
    """
    columns = ["key", "path", "offset", "size", "expression", "subject", "frame", "reject"]
    chosen: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for row in sorted(manifest.select(columns).to_pylist(), key=lambda r: (r["frame"] is not None, r["key"])):
        if row["reject"] is None and row["expression"] is not None:
            who = row["subject"] or "unknown"
            chosen.setdefault(who, {}).setdefault(row["expression"], []).append(row)
    expressions = classes_of({e for found in chosen.values() for e in found})
    names = sorted(chosen, key=lambda name: (-len(chosen[name]), name))[:people]
    rows = [
        (name, [_one_of(chosen[name].get(e, []), number, root) for e in expressions])
        for number, name in enumerate(sorted(names))
    ]
    return Sheet(expressions, rows)


def example(manifest: pa.Table, root: Path) -> Example | None:
    """The middle picture of the corpus by key, or None when every one was rejected."""
    columns = ["key", "path", "offset", "size", "expression", "reject"]
    rows = [row for row in manifest.select(columns).to_pylist() if row["reject"] is None]
    if not rows:
        return None
    row = sorted(rows, key=lambda r: str(r["key"]))[len(rows) // 2]
    jpeg = _thumbnail_of(row, root, EXAMPLE_PX)
    return None if jpeg is None else Example(jpeg, row["expression"] or "no expression given")


def marked_faces(
    manifest: pa.Table, aligned: Path, found: pa.Table, limit: int, given_only: bool
) -> list[MarkedFace]:
    """Up to `limit` crops, spread over the corpus, with the found points and any that the corpus gives.

    found: LANDMARKS rows. given_only: the found points are the given ones, so they are drawn once.
    """
    kept = found.filter(pc.is_null(found["reject"]))
    keys = sorted(kept["key"].to_pylist())
    spread = [keys[i] for i in np.unique(np.linspace(0, len(keys) - 1, limit).astype(int))] if keys else []
    points = _points_by_key(kept, spread)
    rows = {row["key"]: row for row in _rows(manifest.select(["key", "expression", "points"]), spread)}
    faces = []
    for key, crop, transform in crops_of(aligned, spread):
        given = rows[key]["points"] if key in rows else None
        target = None if given is None or given_only else carried(given, transform)
        faces.append(_marked(crop, points[key], target, rows.get(key, {}).get("expression")))
    return faces


def crops_of(aligned: Path, keys: Sequence[str]) -> Iterator[tuple[str, bytes, list[float]]]:
    """Key, encoded crop and transform (2x3 row-major) of the wanted keys, in the order of the parts."""
    wanted = set(keys)
    for file in sorted(aligned.glob("*.parquet")):
        for batch in pq.ParquetFile(file).iter_batches(256, columns=["key", "crop", "transform"]):
            for number, key in enumerate(batch["key"].to_pylist()):
                crop = batch["crop"][number].as_py() if key in wanted else None
                if crop is not None:
                    yield key, crop, batch["transform"][number].as_py()


def thumbnail(data: bytes, side_px: int) -> bytes:
    """A picture as a JPEG whose longer side is at most `side_px`."""
    image = Image.fromarray(decode(data))
    image.thumbnail((side_px, side_px), Image.Resampling.LANCZOS)
    return _jpeg(image)


def _one_of(rows: Sequence[Mapping[str, Any]], number: int, root: Path) -> bytes | None:
    return _thumbnail_of(rows[number % len(rows)], root, THUMB_PX) if rows else None


def _thumbnail_of(row: Mapping[str, Any], root: Path, side_px: int) -> bytes | None:
    """None where the picture has gone or changed since the manifest was made: no reason to fail."""
    try:
        return thumbnail(read_bytes(root, row["path"], row["offset"], row["size"]), side_px)
    except Reject:
        return None


def _marked(crop: bytes, found: Points, given: Points | None, expression: str | None) -> MarkedFace:
    image = Image.fromarray(decode(crop))
    scale = FACE_PX / image.width
    image = image.resize((FACE_PX, round(image.height * scale)), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    if given is not None:
        for x, y in given * scale:
            draw.ellipse((x - 5, y - 5, x + 5, y + 5), outline=GIVEN, width=2)
    for x, y in found * scale:
        draw.ellipse((x - 2.5, y - 2.5, x + 2.5, y + 2.5), fill=FOUND)
    error = None if given is None else float(normalised_errors(found[None], given[None])["all"][0])
    return MarkedFace(_jpeg(image), expression or "unknown", error)


def _rows(table: pa.Table, keys: Sequence[str]) -> list[dict[str, Any]]:
    wanted = pa.array(keys, pa.string())
    rows: list[dict[str, Any]] = table.filter(pc.is_in(table["key"], value_set=wanted)).to_pylist()
    return rows


def _points_by_key(table: pa.Table, keys: Sequence[str]) -> dict[str, Points]:
    rows = _rows(table.select(["key", "points"]), keys)
    return {row["key"]: np.asarray(row["points"], dtype=np.float32).reshape(68, 2) for row in rows}


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
