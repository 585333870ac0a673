"""Stage `landmarks`: 68 points on each crop, and how far they are from the given ones."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from mien.cluster.align import refuse_rejects
from mien.cluster.pictures import map_blocks
from mien.config import Params
from mien.config.faces import Align, Landmarks
from mien.config.progress import Progress
from mien.faces.detect import Picture
from mien.faces.landmarks import Points, carried, make_predictor, normalised_mean_error
from mien.manifest.tables import ALIGNED, LANDMARKS, MANIFEST, read_table, whole, write_table

POINTS_FILE, ERRORS_FILE = "points.parquet", "landmarks.json"


class PlacePoints:
    """Reads parts of aligned faces and places the points on their crops."""

    def __init__(self, landmarks: dict[str, Any], align: dict[str, Any]) -> None:
        import torch

        torch.set_num_threads(1)
        self._settings = Landmarks.model_validate(landmarks)
        self._predictor = make_predictor(self._settings, Align.model_validate(align))

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Rows with the column `file` to rows of LANDMARKS, in the order of the files' rows."""
        tables = [pa.Table.from_pylist([], schema=LANDMARKS)]
        for file in rows.column("file").to_pylist():
            part = read_table(Path(file), ALIGNED, ["key", "crop", "reject"])
            for batch in part.to_batches(max_chunksize=self._settings.batch_crops):
                tables.append(self._batch(batch.to_pylist()))
        return pa.concat_tables(tables)

    def _batch(self, rows: list[dict[str, Any]]) -> pa.Table:
        usable = [row for row in rows if row["reject"] is None]
        points = self._predictor.predict([decode_crop(row["crop"]) for row in usable])
        places = {row["key"]: p.ravel().tolist() for row, p in zip(usable, points, strict=True)}
        made = [
            {"key": row["key"], "points": places.get(row["key"]), "reject": row["reject"]} for row in rows
        ]
        return pa.Table.from_pylist(made, schema=LANDMARKS)


def decode_crop(data: bytes) -> Picture:
    """An encoded crop as (S, S, 3) RGB."""
    crop = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    if crop is None:
        raise ValueError("not an encoded crop")
    return np.asarray(crop, dtype=np.uint8)


def place_landmarks(name: str, manifest: Path, aligned: Path, into: Path, params: Params) -> None:
    """Write `points.parquet` and `landmarks.json`. MienError: no weights, no points, or too many rejects."""
    settings = params.landmarks
    given = read_table(manifest, MANIFEST, ["key", "points"])
    if settings.model == "given":
        table = _carry(given, aligned)
    elif settings.model == "fan":  # seconds a crop: worth the cluster
        table = _map(name, aligned, into, params)
    else:
        table = pa.concat_tables(_here(name, aligned, params))
    into.mkdir(parents=True, exist_ok=True)
    write_table(table, into / POINTS_FILE, LANDMARKS)
    reasons = table.column("reject").to_pylist()
    _write_json(into / ERRORS_FILE, settings.model, reasons, _errors(given, aligned, table))
    limit = f"landmarks.max_reject_share is {settings.max_reject_share}"
    refuse_rejects(limit, settings.max_reject_share, reasons)


def _here(name: str, aligned: Path, params: Params) -> Iterator[pa.Table]:
    """One part after another in this process: milliseconds a crop are less than a cluster takes to start."""
    worker = PlacePoints(params.landmarks.model_dump(), params.align.model_dump())
    total = read_table(aligned, ALIGNED, ["key"]).num_rows
    progress, done = Progress(f"landmarks {name}"), 0
    progress(0, total)
    for file in sorted(aligned.glob("*.parquet")):
        table = worker(pa.table({"file": [str(file)]}))
        done += table.num_rows
        progress(done, total)
        yield table


def _map(name: str, aligned: Path, into: Path, params: Params) -> pa.Table:
    make_predictor(params.landmarks, params.align)  # missing weights are found here and not in a worker
    files = sorted(aligned.resolve().glob("*.parquet"))
    worker = {"landmarks": params.landmarks.model_dump(), "align": params.align.model_dump()}
    parts = into / ".parts"
    total = read_table(aligned, ALIGNED, ["key"]).num_rows
    blocks = [pa.table({"file": [str(file)]}) for file in files]
    map_blocks(f"landmarks {name}", blocks, PlacePoints, worker, LANDMARKS, parts, params.cluster, total)
    table = read_table(parts, LANDMARKS)
    for part in parts.iterdir():
        part.unlink()
    parts.rmdir()
    return table


def _carry(given: pa.Table, aligned: Path) -> pa.Table:
    """The corpus's own points in crop px."""
    known = dict(zip(given.column("key").to_pylist(), given.column("points").to_pylist(), strict=True))
    rows = []
    for row in read_table(aligned, ALIGNED, ["key", "transform", "reject"]).to_pylist():
        reject, points = row["reject"], None
        if reject is None and known[row["key"]] is None:
            reject = "no points given"
        elif reject is None:
            points = carried(known[row["key"]], row["transform"]).ravel().tolist()
        rows.append({"key": row["key"], "points": points, "reject": reject})
    return pa.Table.from_pylist(rows, schema=LANDMARKS)


def _errors(given: pa.Table, aligned: Path, placed: pa.Table) -> tuple[int, dict[str, float]]:
    """Faces with both kinds of points, and the normalised mean error over them by region."""
    rows = _carry(given, aligned)
    truth, points = _as_array(rows), _as_array(placed)
    both = sorted(truth.keys() & points.keys())
    if not both:
        return 0, {}
    errors = normalised_mean_error(np.stack([points[k] for k in both]), np.stack([truth[k] for k in both]))
    return len(both), errors


def _as_array(table: pa.Table) -> dict[str, Points]:
    pairs = zip(table.column("key").to_pylist(), table.column("points").to_pylist(), strict=True)
    return {key: np.asarray(points, np.float32).reshape(68, 2) for key, points in pairs if points is not None}


def _write_json(
    path: Path, model: str, reasons: list[str | None], errors: tuple[int, dict[str, float]]
) -> None:
    rejected = Counter(reason.split(":")[0] for reason in reasons if reason is not None)
    said = {
        "model": model,
        "faces": len(reasons) - sum(rejected.values()),
        "rejected": dict(sorted(rejected.items())),
    }
    said |= {"compared": errors[0], "nme": errors[1] or None}
    with whole(path) as scratch:
        scratch.write_text(json.dumps(said, indent=2, sort_keys=True) + "\n", encoding="utf-8")
