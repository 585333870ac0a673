"""Manifest, aligned crops and landmarks of a corpus brought together, and what was rejected on the way."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mien.config import MienError
from mien.manifest.tables import ALIGNED, KEY, LANDMARKS, MANIFEST, RowReader, read_table

_WANTED = [n for n in MANIFEST.names if n not in ("path", "offset", "size", "box", "points")]
_CROPS_AT_ONCE = 256
_KEY_BYTES = 94  # a USTAR name has 100 bytes, `.json` included


@dataclass(frozen=True)
class Gathered:
    """Which faces there are, in the order of the aligned parts; what is known of them stays on disk.

    places, pictures, points (N,): their rows in the aligned parts, the manifest and the landmarks.
    rejects: stage -> reason -> count, summing with N to the manifest's rows.
    """

    places: NDArray[np.int64]
    pictures: NDArray[np.int64]
    points: NDArray[np.int64]
    rejects: dict[str, dict[str, int]]
    files: tuple[tuple[Path, int], ...]  # aligned parts and how many rows each has
    manifest: RowReader
    landmarks: RowReader

    def rejected(self) -> int:
        """Rows of the manifest that are no sample."""
        return sum(sum(reasons.values()) for reasons in self.rejects.values())

    def rows(self, first: int, last: int) -> list[dict[str, Any]]:
        """MANIFEST columns and `points` of the samples `first` to `last` (exclusive)."""
        placed = self.landmarks.take(self.points[first:last])["points"]
        known = self.manifest.take(self.pictures[first:last]).append_column("points", placed)
        return list(known.to_pylist())


def gather(manifest: Path, aligned: Path, landmarks: Path) -> Gathered:
    """Join the three tables by key. MienError names the file and the key where they do not fit together."""
    pictures = read_table(manifest, MANIFEST, ["key", "reject"]).combine_chunks()
    faces = read_table(aligned, ALIGNED, ["key", "reject"]).combine_chunks()
    points = read_table(landmarks, LANDMARKS, ["key", "reject"]).combine_chunks()
    _check_keys(pictures["key"], manifest)
    for table, path in ((faces, aligned), (points, landmarks)):
        _check_within(table["key"], pictures["key"], path, manifest)
    files = tuple((f, pq.read_metadata(f).num_rows) for f in _parts(aligned))

    refused = pc.is_valid(pictures["reject"]).to_numpy()
    rejects = {"download": _reasons(pictures["reject"])}
    face_of = _positions(pictures["key"], faces["key"])
    _check_complete(pictures["key"], ~refused & (face_of < 0), aligned)
    rejects["align"] = _reasons(_taken(faces["reject"], face_of[~refused]))
    refused |= _is_set(faces["reject"], face_of)
    points_of = _positions(pictures["key"], points["key"])
    _check_complete(pictures["key"], ~refused & (points_of < 0), landmarks)
    rejects["landmarks"] = _reasons(_taken(points["reject"], points_of[~refused]))
    refused |= _is_set(points["reject"], points_of)

    kept = np.flatnonzero(~refused)
    kept = kept[np.argsort(face_of[kept], kind="stable")]
    readers = RowReader(manifest, MANIFEST, _WANTED), RowReader(landmarks, LANDMARKS, ["points"])
    return Gathered(face_of[kept], kept, points_of[kept], rejects, files, *readers)


def crops(gathered: Gathered, first: int, last: int) -> Iterator[bytes]:
    """Encoded crops of the samples `first` to `last` (exclusive), a few in memory at a time."""
    wanted = gathered.places[first:last]
    begin = 0
    for file, rows in gathered.files:
        inside = wanted[(wanted >= begin) & (wanted < begin + rows)] - begin
        if len(inside):
            yield from _crops_of(file, inside)
        begin += rows


def _crops_of(file: Path, inside: NDArray[np.int64]) -> Iterator[bytes]:
    parquet = pq.ParquetFile(file)
    begin = 0
    for group in range(parquet.num_row_groups):
        count = parquet.metadata.row_group(group).num_rows
        if ((inside >= begin) & (inside < begin + count)).any():
            at = begin
            for batch in parquet.iter_batches(_CROPS_AT_ONCE, row_groups=[group], columns=["key", "crop"]):
                for row in inside[(inside >= at) & (inside < at + len(batch))] - at:
                    crop = batch["crop"][int(row)].as_py()
                    if crop is None:
                        raise MienError(f"{file}: {batch['key'][int(row)]} has no crop and no reject reason.")
                    yield crop
                at += len(batch)
        begin += count


def _parts(path: Path) -> list[Path]:
    return sorted(path.glob("*.parquet")) if path.is_dir() else [path]


def _check_keys(keys: pa.ChunkedArray, file: Path) -> None:
    bad = keys.filter(pc.invert(pc.match_substring_regex(keys, f"^{KEY}$")))
    if len(bad):
        raise MienError(f"{file}: the key {bad[0].as_py()!r} may only hold a-z, 0-9, _ and -; rename it.")
    long = keys.filter(pc.greater(pc.binary_length(keys), _KEY_BYTES))
    if len(long):
        raise MienError(
            f"{file}: the key {long[0].as_py()!r} has more than {_KEY_BYTES} characters; shorten it."
        )
    _check_once(keys, file)


def _check_once(keys: pa.ChunkedArray, file: Path) -> None:
    counts = pc.value_counts(keys)
    twice = counts.filter(pc.greater(counts.field("counts"), 1))
    if len(twice):
        raise MienError(
            f"{file}: the key {twice.field('values')[0].as_py()!r} is there twice; keys are unique."
        )


def _check_within(keys: pa.ChunkedArray, known: pa.ChunkedArray, file: Path, manifest: Path) -> None:
    _check_once(keys, file)
    foreign = keys.filter(pc.invert(pc.is_in(keys, value_set=known)))
    if len(foreign):
        raise MienError(f"{file}: the key {foreign[0].as_py()!r} is not in {manifest}; run `dvc repro`.")


def _check_complete(keys: pa.ChunkedArray, lacking: NDArray[np.bool_], file: Path) -> None:
    missing = keys.filter(pa.array(lacking))
    if len(missing):
        raise MienError(f"{file} lacks {len(missing)} rows, {missing[0].as_py()!r} for one; run `dvc repro`.")


def _positions(keys: pa.ChunkedArray, among: pa.ChunkedArray) -> NDArray[np.int64]:
    found = pc.fill_null(pc.index_in(keys, value_set=among), -1)
    return np.asarray(found.to_numpy(), dtype=np.int64)


def _taken(column: pa.ChunkedArray, positions: NDArray[np.int64]) -> pa.ChunkedArray:
    return column.take(pa.array(positions[positions >= 0]))


def _is_set(column: pa.ChunkedArray, positions: NDArray[np.int64]) -> NDArray[np.bool_]:
    known = pc.is_valid(column).to_numpy()
    return np.asarray((positions >= 0) & (known[positions] if len(known) else False))


def _reasons(column: pa.ChunkedArray) -> dict[str, int]:
    """Count reasons by their words before a colon: what follows is about the one picture."""
    texts = (text.split(":")[0] for text in pc.drop_null(column).to_pylist())
    return dict(sorted(Counter(texts).items()))
