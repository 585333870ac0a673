"""What a finished cell leaves: first in the storage, in the end in runs/EXPERIMENT; whole or not at all."""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mien.config import MienError
from mien.config.train import Cell
from mien.evaluation.predictions import CURVES as CURVES_SCHEMA
from mien.manifest.tables import sha256
from mien.training.plan import CELLS, Plan
from mien.training.storage import SEAL, Storage

PREDICTIONS, CURVES, MODEL, ABOUT, RUN = (
    "predictions.parquet",
    "curves.parquet",
    "model",
    "cell.json",
    "run.json",
)

Curve = tuple[str, int, str, float]
"""Phase, epoch, name, value."""


@dataclass(frozen=True)
class KeptCell:
    """A finished cell, fetched from the storage and checked against its seal."""

    cell: Cell
    folder: Path  # model/, predictions.parquet, curves.parquet, cell.json
    about: Mapping[str, Any]

    def curves(self) -> list[Curve]:
        """Phase, epoch, name and value of every figure of its epochs."""
        table = pq.read_table(self.folder / CURVES)
        return list(
            zip(*(table[name].to_pylist() for name in ("phase", "epoch", "name", "value")), strict=True)
        )


def keep(
    store: Storage,
    cell: Cell,
    folder: Path,
    predictions: pa.Table,
    curves: list[Curve],
    about: Mapping[str, Any],
) -> None:
    """Put a trained cell, its model in `folder`/model, into the storage; it counts once its seal is there."""
    pq.write_table(predictions, folder / PREDICTIONS, compression="zstd")
    pq.write_table(curve_table(cell, curves), folder / CURVES, compression="zstd")
    (folder / ABOUT).write_text(json.dumps(dict(about), sort_keys=True), encoding="utf-8")
    store.put(folder, f"{CELLS}/{cell.name}")


def curve_table(cell: Cell, curves: list[Curve]) -> pa.Table:
    """The figures of a cell's epochs, a row each, under CURVES_SCHEMA."""
    rows = [
        {"fold": cell.fold, "seed": cell.seed, "phase": p, "epoch": e, "name": n, "value": v}
        for p, e, n, v in curves
    ]
    return pa.Table.from_pylist(rows, schema=CURVES_SCHEMA)


@contextmanager
def fetched(plan: Plan) -> Iterator[list[KeptCell]]:
    """All cells of a plan in a scratch folder; MienError, and the bad one removed, if one is torn."""
    with tempfile.TemporaryDirectory(prefix="mien-collect-") as scratch:
        found = []
        for cell in plan.cells:
            folder = Path(scratch) / cell.name
            if not (plan.store / CELLS).get(cell.name, folder):
                (plan.store / CELLS).delete(cell.name)
                raise MienError(
                    f"{cell.name} in {plan.store.uri} was damaged and is removed; run the stage again."
                )
            about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
            found.append(KeptCell(cell, folder, about))
        yield found


def write_run(plan: Plan, kept: list[KeptCell], into: Path, tracked: Mapping[str, Any]) -> None:
    """Put predictions, curves, weights and run.json into `into`, which appears, or is replaced, in one piece.

    `tracked`: what tracking gives for run.json, with the run id of each cell under `children`.
    """
    into.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into.parent, prefix=f".{into.name}.") as name:
        scratch = Path(name) / "run"
        scratch.mkdir()
        for file in (PREDICTIONS, CURVES):
            tables = [pq.read_table(cell.folder / file) for cell in kept]
            pq.write_table(pa.concat_tables(tables), scratch / file, compression="zstd")
        for cell in kept:
            shutil.copytree(cell.folder / MODEL, scratch / "cells" / cell.cell.name)
        described = json.dumps(_described(plan, kept, scratch, tracked), indent=2, sort_keys=True)
        (scratch / RUN).write_text(described + "\n", encoding="utf-8")
        if into.exists():
            into.rename(Path(name) / "old")
        scratch.rename(into)


def prune(plan: Plan) -> None:
    """Remove what a finished experiment no longer needs: this digest's checkpoints, and other digests.

    Other digests in an object store may be somebody else's training, so they stay.
    """
    own = plan.store.uri.rsplit("/", 1)[-1]
    for name in plan.home.names() if plan.home.is_local else []:
        if name != own:
            plan.home.delete(name)
    for name in plan.store.names():
        if name.startswith(f"{plan.name}-"):
            plan.store.delete(name)


def protocol(plan: Plan) -> dict[str, Any]:
    """How training, validation and test parts were told apart."""
    entry, about = plan.params.experiments[plan.experiment], plan.index.about
    return {
        "by": about.by,
        "folds_by": entry.folds_by,
        "subjects_known": about.subjects_known,
        "folds": about.folds,
        "validation_share": entry.validation_share,
        "split_seed": plan.params.shard.seed,
    }


def _described(plan: Plan, kept: list[KeptCell], scratch: Path, tracked: Mapping[str, Any]) -> dict[str, Any]:
    cells = [_cell(cell, scratch, tracked) for cell in kept]
    return {
        "experiment": plan.experiment,
        "method": plan.method,
        "corpus": plan.params.experiments[plan.experiment].corpus,
        "classes": list(plan.index.classes),
        "scores": list(plan.scores),
        "seconds": sum(cell["seconds"] for cell in cells),
        "cells": cells,
        "settings": plan.settings.model_dump(mode="json"),
        "digest": plan.digest,
        "shards_digest": plan.index.digest,
        "protocol": protocol(plan),
        "mlflow": {key: value for key, value in tracked.items() if key != "children"},
    }


def _cell(kept: KeptCell, scratch: Path, tracked: Mapping[str, Any]) -> dict[str, Any]:
    folder = scratch / "cells" / kept.cell.name
    return {
        **kept.cell._asdict(),
        "mlflow_run_id": tracked.get("children", {}).get(kept.cell.name),
        "record": kept.about["record"],
        "seconds": kept.about["seconds"],
        "sha256": {file.name: sha256(file) for file in sorted(folder.iterdir()) if file.name != SEAL},
    }
