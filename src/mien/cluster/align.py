"""Stage `align`: what one worker does to a block of the manifest, and the whole stage."""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mien.cluster.pictures import blocks_of, map_blocks
from mien.config import MienError
from mien.config.faces import Align
from mien.config.train import Cluster
from mien.faces.align import Aligned, align, encode
from mien.faces.detect import Picture, make_detector
from mien.manifest.pictures import Reject, decode, read_bytes
from mien.manifest.tables import ALIGNED, MANIFEST, read_table

FEWEST_ROWS, MOST_ROWS, PARTS = 64, 1024, 64  # small corpora still share the work, large ones make few files
READ = ["key", "path", "offset", "size", "box", "reject"]

log = logging.getLogger(__name__)


class AlignPictures:
    """Reads pictures, finds the faces and encodes the crops, `batch_pictures` at a time."""

    def __init__(self, root: str, settings: dict[str, Any]) -> None:
        import cv2
        import torch

        torch.set_num_threads(1)  # one worker a core
        cv2.setNumThreads(0)
        self._root = Path(root)
        self._settings = Align.model_validate(settings)
        self._detector = make_detector(self._settings)

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Rows of the manifest to rows of ALIGNED."""
        made: list[dict[str, Any]] = []
        for batch in rows.to_batches(max_chunksize=self._settings.batch_pictures):
            made += self._batch(batch.to_pylist())
        return pa.Table.from_pylist(made, schema=ALIGNED)

    def _batch(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        read = [self._read(row) for row in rows]
        usable = [k for k, picture in enumerate(read) if not isinstance(picture, Reject)]
        pictures = [p for p in read if not isinstance(p, Reject)]
        boxes = [None if (box := rows[k]["box"]) is None else np.asarray(box, np.float64) for k in usable]
        results: dict[int, Aligned | Reject] = dict(
            zip(usable, align(self._detector, pictures, self._settings, boxes), strict=True)
        )
        return [self._row(row, read[k], results.get(k)) for k, row in enumerate(rows)]

    def _read(self, row: dict[str, Any]) -> Picture | Reject:
        if row["reject"] is not None:
            return Reject(row["reject"])
        try:
            return decode(read_bytes(self._root, row["path"], row["offset"], row["size"]))
        except Reject as reject:
            return reject

    def _row(
        self, row: dict[str, Any], picture: Picture | Reject, result: Aligned | Reject | None
    ) -> dict[str, Any]:
        made = {"key": row["key"]}
        if isinstance(picture, Reject):
            return made | {"reject": str(picture)}
        made |= {"picture_width": picture.shape[1], "picture_height": picture.shape[0]}
        if not isinstance(result, Aligned):
            return made | {"reject": str(result)}
        return made | {
            "crop": encode(result.crop, self._settings.jpeg_quality),
            "transform": result.transform.ravel().tolist(),
            "box": result.box.tolist(),
            "score": result.score,
            "five": result.five.ravel().tolist(),
        }


def align_corpus(
    name: str, root: Path, manifest: Path, into: Path, settings: Align, cluster: Cluster
) -> None:
    """Write the aligned faces of a corpus. MienError: no weights, time up, or too many rejects."""
    make_detector(settings)  # missing weights are found here and not in a worker
    table = read_table(manifest, MANIFEST, READ)
    worker = {"root": str(root.resolve()), "settings": settings.model_dump()}
    blocks = blocks_of(table, min(MOST_ROWS, max(FEWEST_ROWS, table.num_rows // PARTS)))
    map_blocks(f"align {name}", blocks, AlignPictures, worker, ALIGNED, into, cluster, table.num_rows)
    refuse_rejects(
        f"align.max_reject_share is {settings.max_reject_share}",
        settings.max_reject_share,
        read_table(into, ALIGNED, ["reject"]).column("reject").to_pylist(),
    )


def refuse_rejects(limit: str, share: float, reasons: Sequence[str | None]) -> None:
    """MienError if more than a share of the rows carries a reason; it names the reasons and their counts."""
    counts = Counter(reason.split(":")[0] for reason in reasons if reason is not None)
    counted = ", ".join(f"{reason} ({number})" for reason, number in counts.most_common())
    rejected = sum(counts.values())
    if rejected > share * len(reasons):
        raise MienError(f"{rejected} of {len(reasons)} pictures are rejected, but {limit}: {counted}.")
    log.info("%d faces%s", len(reasons) - rejected, f", rejected: {counted}" if counts else "")
