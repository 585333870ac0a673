"""Checked alien scores -> the figures of a one-class experiment, and the files that hold them."""

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.config.report import Evaluate
from mien.config.train import Cell
from mien.evaluation.one_class import ratio
from mien.evaluation.one_class.auc import Areas, areas
from mien.evaluation.one_class.averages import std, tabulate
from mien.evaluation.one_class.scores import AlienScores
from mien.evaluation.predictions import TEST
from mien.evaluation.results import METRICS, SCORES, write_csv, write_json

KIND = "one_class"
MACRO, FULL = "auc_macro", "auc_full"
PER_CELL, RATIO = "per_cell.csv", "ratio.csv"

Floats = NDArray[np.float64]
Member = tuple[Cell, AlienScores]
"""A cell and the faces of its test part."""


def evaluate_one_class(
    made: AlienScores, person: Mapping[str, str], unit: str, classes: Sequence[str], params: Evaluate
) -> dict[str, Any]:
    """All figures of a one-class experiment's scores, as scores.json has them.

    person: whom each key belongs to, and unit what to call them, to tell how many were tested. `auc_macro`,
    the mean of the AUCs of the normal against each alien class, is the headline; `auc_full` takes the test
    part as it is. A cell that has no AUC under a score says why in `empty`.
    """
    by_trial: dict[str, list[Member]] = {}
    for cell, test in made.by_cell(TEST):
        by_trial.setdefault(cell.trial, []).append((cell, test))
    cells = {trial: [_cell(*m, classes) for m in members] for trial, members in by_trial.items()}
    return {
        "kind": KIND,
        "classes": list(classes),
        "scores": list(made.names),
        "unit": unit,
        "draws": params.ratio_draws,
        "confidence": params.confidence,
        "trials": [
            _trial(members, cells[trial], person, classes, params) for trial, members in by_trial.items()
        ],
        "cells": [cell for of_trial in cells.values() for cell in of_trial],
    }


def write_one_class(scores: Mapping[str, Any], into: Path) -> None:
    """Write scores.json (everything), metrics.json (for `dvc metrics`), per_cell.csv and ratio.csv."""
    into.mkdir(parents=True, exist_ok=True)
    write_json(scores, into / SCORES)
    write_json(one_class_headline(scores), into / METRICS)
    names = list(scores["scores"])
    header = [*Cell._fields, "trial", "normals", "aliens"]
    columns = [(figure, name) for figure in (MACRO, FULL) for name in names]
    rows = [
        [*(cell[key] for key in header), *(cell[f][n] for f, n in columns), cell["empty"].get(names[0], "")]
        for cell in scores["cells"]
    ]
    write_csv([*header, *(f"{f}_{n}" for f, n in columns), "empty"], rows, into / PER_CELL)
    rows = [
        [trial["trial"], normal, name, *(curve[key][i] for key in ("mean", "std", "low", "high"))]
        for trial in scores["trials"]
        for normal, curve in {**trial["ratio"]["classes"], "": trial["ratio"]["mean"]}.items()
        for i, name in enumerate(trial["ratio"]["ratios"])
    ]
    write_csv(["trial", "normal", "ratio", "mean", "std", "low", "high"], rows, into / RATIO)


def one_class_headline(scores: Mapping[str, Any]) -> dict[str, Any]:
    """For `dvc metrics show`: of each trial the mean AUC under the headline score, as shares of 1."""
    found = {}
    for trial in scores["trials"]:
        mean = trial["figures"][scores["scores"][0]][MACRO]["mean"]
        found[trial["trial"]] = {MACRO: mean["mean"], "std_folds": mean["std_folds"], "cells": mean["cells"]}
    return found


def _trial(
    members: Sequence[Member],
    cells: Sequence[Mapping[str, Any]],
    person: Mapping[str, str],
    classes: Sequence[str],
    params: Evaluate,
) -> dict[str, Any]:
    keys = {key for _, test in members for key in test.key.tolist()}
    return {
        "trial": members[0][0].trial,
        "condition": members[0][0].condition,
        "folds_by": members[0][0].folds_by,
        "faces": len(keys),
        "people": len({person[key] for key in keys}),
        "figures": {name: _figures(cells, name) for name in members[0][1].names},
        "ratio": _ratio_study(members, classes, params),
    }


def _cell(cell: Cell, test: AlienScores, classes: Sequence[str]) -> dict[str, Any]:
    names, normal = dict(enumerate(classes)), list(classes).index(cell.normal)
    found: dict[str, Areas] = {
        name: areas(test.values[:, column], test.label, normal, names)
        for column, name in enumerate(test.names)
    }
    own = int((test.label == normal).sum())
    return {
        **cell._asdict(),
        "trial": cell.trial,
        "normals": own,
        "aliens": len(test.label) - own,
        MACRO: {name: area.macro for name, area in found.items()},
        FULL: {name: area.full for name, area in found.items()},
        "pairwise": {name: dict(area.pairwise) for name, area in found.items()},
        "empty": {name: area.empty for name, area in found.items() if area.empty},
    }


def _figures(cells: Sequence[Mapping[str, Any]], score: str) -> dict[str, Any]:
    figures = {}
    for figure in (MACRO, FULL):
        table = tabulate(cells, figure, score)
        figures[figure] = {
            "classes": {name: asdict(average) for name, average in table.classes.items()},
            "mean": asdict(table.mean),
            "by_seed": {str(seed): value for seed, value in table.by_seed.items()},
        }
    return figures


def _ratio_study(members: Sequence[Member], classes: Sequence[str], params: Evaluate) -> dict[str, Any]:
    """For the headline score: each drawing's mean over cells, and over the drawings mean, spread and band."""
    by_class: dict[str, list[Floats]] = {}  # normal class -> (ratios, draws) of each cell
    for cell, test in members:
        drawn = _drawn(cell, test, classes, params)
        if drawn is not None:
            by_class.setdefault(cell.normal, []).append(drawn)
    means = {name: np.mean(by_class[name], axis=0) for name in classes if name in by_class}
    whole = np.mean(list(means.values()), axis=0) if means else np.full((len(ratio.RATIOS), 1), math.nan)
    return {
        "ratios": [ratio.name(value) for value in ratio.RATIOS],
        "classes": {name: _curve(values, params.confidence) for name, values in means.items()},
        "mean": _curve(whole, params.confidence),
    }


def _drawn(cell: Cell, test: AlienScores, classes: Sequence[str], params: Evaluate) -> Floats | None:
    """(ratios, draws) of one cell; None for one that has no AUC. The same faces whatever the method."""
    scores, normal = test.values[:, 0], list(classes).index(cell.normal)
    if areas(scores, test.label, normal, dict(enumerate(classes))).empty:
        return None
    own = scores[test.label == normal]
    aliens = [scores[test.label == other] for other in sorted({int(n) for n in test.label} - {normal})]
    words = (params.seed, cell.fold, cell.seed, normal, zlib.crc32(cell.trial.encode()))
    return np.stack(
        [
            ratio.drawn_aucs(own, aliens, value, params.ratio_draws, np.random.default_rng([*words, number]))
            for number, value in enumerate(ratio.RATIOS)
        ]
    )


def _curve(drawn: Floats, confidence: float) -> dict[str, list[float]]:
    """drawn (ratios, draws) -> what is drawn of a curve."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail], axis=1)
    return {
        "mean": drawn.mean(axis=1).tolist(),
        "std": [std(row) for row in drawn],
        "low": low.tolist(),
        "high": high.tolist(),
    }
