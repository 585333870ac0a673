"""What the faces of a corpus are like, face by face, in numbers that later faces can be held against.

No picture and no name of a person stands in a profile. Labels and pictures' digests tell which faces of a
corpus that has grown are new, or have got another label since.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mien import methods
from mien.evaluation.facts import Layout
from mien.faces.align import to_crop
from mien.faces.landmarks import Points, eye_centres
from mien.manifest.tables import ALIGNED, read_table
from mien.shards.index import Index
from mien.shards.indexed import IndexedReader
from mien.shards.order import Rows

PROFILE = pa.schema(
    [
        pa.field("picture_sha256", pa.string()),
        pa.field("expression", pa.string(), nullable=False),
        pa.field("face_px", pa.float32(), nullable=False),  # square root of the area of the detector's box
        pa.field("pose", pa.float32(), nullable=False),  # of the nose off the middle, in widths of the face
        pa.field("brightness", pa.float32()),  # mean of the crop, 0 to 255; null: not among those measured
        pa.field(
            "landmark_error", pa.float32(), nullable=False
        ),  # detector's points to the 68, eye distances
        pa.field(
            "predicted", pa.string()
        ),  # by the champion, of faces that it did not learn; null: no answer
    ]
)
MEASURED = 5000
"""Faces whose pixels are looked at, at most."""
_BATCH = 256
_NOSE, _MOUTH, _JAW = 30, (48, 54), (0, 16)


def profile(layout: Layout, index: Index, rows: Rows, predicted: Mapping[str, str]) -> pa.Table:
    """The profile of some rows of a corpus's index; `predicted`: by key, where there is an answer."""
    keys = index.keys[rows].tolist()
    aligned = _aligned(layout, keys)
    points = index.points[rows]
    brightness = np.full(len(rows), np.nan)
    some = drawn(len(rows))
    brightness[some] = _brightness(index, rows[some])
    return pa.table(
        {
            "picture_sha256": index.column("picture_sha256")[rows].tolist(),
            "expression": index.expression[rows].tolist(),
            "face_px": np.sqrt(np.prod(aligned["box"][:, 2:] - aligned["box"][:, :2], axis=1)),
            "pose": pose(points),
            "brightness": pa.array(brightness, from_pandas=True),
            "landmark_error": landmark_error(points, aligned["five"], aligned["transform"]),
            "predicted": [predicted.get(key) for key in keys],
        }
    ).cast(PROFILE)


def labelled(index: Index) -> Rows:
    """The rows of an index that have an expression."""
    return np.flatnonzero([e is not None for e in index.expression.tolist()]).astype(np.int64)


def drawn(faces: int) -> Rows:
    """Which of so many faces have their pixels looked at, ascending: always the same ones."""
    some = np.random.default_rng(0).permutation(faces)[:MEASURED]
    return np.sort(some).astype(np.int64)


def new_rows(index: Index, rows: Rows, before: pa.Table) -> Rows:
    """Those of `rows` whose picture, under its present label, is not in an earlier profile."""
    known = set(zip(before["picture_sha256"].to_pylist(), before["expression"].to_pylist(), strict=True))
    digests, labels = index.column("picture_sha256"), index.expression
    return np.array([r for r in rows.tolist() if (digests[r], labels[r]) not in known], dtype=np.int64)


def predict_rows(index: Index, rows: Rows, model: Path) -> dict[str, str]:
    """What the model in a folder says of rows of an index (MEASURED at most), by key."""
    method, _ = methods.load(model)
    some = rows[drawn(len(rows))]
    if not len(some):
        return {}
    reader = IndexedReader(index, some, method.classes, method.needs | {"faces", "label"}, threads=1)
    named: dict[str, str] = {}
    for batch in reader.in_order(_BATCH):
        best = method.predict(batch).argmax(dim=1).tolist()
        named |= {key: method.classes[number] for key, number in zip(batch.keys, best, strict=True)}
    return named


def pose(points: Points) -> NDArray[np.float64]:
    """How far the nose (of points (N, 68, 2)) is off the middle between the jaw's ends, in their distance."""
    left, right = (points[:, end, 0].astype(np.float64) for end in _JAW)
    across: NDArray[np.float64] = (2 * points[:, _NOSE, 0] - left - right) / np.maximum(
        np.abs(right - left), 1
    )
    return across


def landmark_error(
    points: Points, five: NDArray[np.float64], transform: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How far the detector's five points and the 68 are apart (N,), in distances between the eyes.

    Two models that were trained apart see the same face: where they disagree, one of them errs. points
    (N, 68, 2) crop px, five (N, 5, 2) picture px, transform (N, 2, 3).
    """
    eyes = eye_centres(points).astype(np.float64)
    same = np.concatenate([eyes, points[:, [_NOSE, *_MOUTH]].astype(np.float64)], axis=1)
    apart = np.linalg.norm(to_crop(five, transform) - same, axis=-1).mean(axis=1)
    error: NDArray[np.float64] = apart / np.maximum(np.linalg.norm(eyes[:, 1] - eyes[:, 0], axis=-1), 1)
    return error


def _aligned(layout: Layout, keys: list[str]) -> dict[str, NDArray[np.float64]]:
    """Box (N, 4), five points (N, 5, 2) and transform (N, 2, 3) of faces, in the order of their keys."""
    table = read_table(layout.aligned, ALIGNED, ["key", "box", "five", "transform"])
    place = {key: row for row, key in enumerate(table["key"].to_pylist())}
    rows = table.take([place[key] for key in keys])

    def numbers(name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
        return np.array(rows[name].to_pylist(), dtype=np.float64).reshape(len(keys), *shape)

    return {
        "box": numbers("box", (4,)),
        "five": numbers("five", (5, 2)),
        "transform": numbers("transform", (2, 3)),
    }


def _brightness(index: Index, rows: Rows) -> NDArray[np.float64]:
    if not len(rows):
        return np.empty(0)
    reader = IndexedReader(index, rows, index.classes, ("faces", "label"), threads=1)
    means = [batch.faces.float().mean(dim=(1, 2, 3)).numpy() for batch in reader.in_order(_BATCH)]
    return np.concatenate(means).astype(np.float64)
