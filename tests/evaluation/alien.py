"""Made-up one-class experiments for the tests of this room."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa

from mien.config import Params
from mien.evaluation.one_class.scores import AlienScores, read_alien_scores
from mien.evaluation.predictions import ALIEN_SCORES, CURVES
from mien.evaluation.stage import labels_of, parts_of_cells
from mien.manifest.tables import write_table
from mien.shards.index import Index

NAMES = ("fusion", "reconstruction", "compactness")
FULL = {"hierarchy": True, "spatial": True, "compact": True}


def scored(path: Path, rows: list[dict], names=("distance",)) -> AlienScores:
    """Rows as predictions.parquet keeps them, written and read; what a row does not say is common to all."""
    common = {
        "fold": 0,
        "seed": 0,
        "part": "test",
        "normal": "neutral",
        "condition": "",
        "folds_by": "subject",
    }
    table = pa.Table.from_pylist([{**common, **row} for row in rows], ALIEN_SCORES)
    write_table(table, path, ALIEN_SCORES)
    return read_alien_scores(path, names)


def make_run(
    experiment: str,
    index: Index,
    runs: Path,
    settings: Params,
    skill: float,
    method_settings: dict | None = None,
    names=NAMES,
    seed: int = 0,
    change=lambda row: row,
) -> None:
    """Scores and record of a one-class experiment; the higher `skill`, the better its first score."""
    entry, source = settings.experiments[experiment], np.random.default_rng(seed)
    label, cells = labels_of(index), entry.cells(index.classes)
    parts = parts_of_cells(index, cells, entry.validation_share, settings.shard.seed)
    rows, told = [], []
    for cell in cells:
        for part in ("test", "validation"):
            for key in getattr(parts[cell], part):
                alien = index.classes[label[key]] != cell.normal
                values = source.normal(0, 1, len(names)) + skill * alien * np.linspace(1, 0.5, len(names))
                rows.append(
                    change(
                        {**cell._asdict(), "key": key, "part": part, "label": label[key], "scores": values}
                    )
                )
        told.append({**cell._asdict(), "record": {"stem": "random", "warnings": []}, "seconds": 3.0})
    folder = runs / experiment
    write_table(pa.Table.from_pylist(rows, ALIEN_SCORES), folder / "predictions.parquet", ALIEN_SCORES)
    write_table(CURVES.empty_table(), folder / "curves.parquet", CURVES)
    about = {"seconds": 3.0 * len(told), "cells": told, "shards_digest": index.digest, "scores": list(names)}
    about |= {"method": entry.method, "settings": method_settings or {}}
    (folder / "run.json").write_text(json.dumps(about))
