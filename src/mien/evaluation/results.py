"""Checked predictions -> the figures of an experiment, and the files that hold them."""

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mien.config import MienError
from mien.config.report import Evaluate
from mien.evaluation import intervals, metrics
from mien.evaluation.intervals import Figure, Interval
from mien.evaluation.predictions import TEST, VALIDATION, Cell, Predictions
from mien.manifest.tables import whole
from mien.shards.index import Index

FIGURES: dict[str, Figure] = {
    "accuracy": lambda rates: rates.accuracy,
    "mean_accuracy": lambda rates: rates.mean_accuracy,
    "macro_f1": lambda rates: rates.macro_f1,
}
METRICS, SCORES = "metrics.json", "scores.json"
PER_FOLD, PER_CLASS, CONFUSION = "per_fold.csv", "per_class.csv", "confusion.csv"


def person_of(index: Index) -> dict[str, str]:
    """The person of each key, or where the corpus does not say, its group of look-alike pictures."""
    rows = zip(index.keys.tolist(), index.subject.tolist(), index.group.tolist(), strict=True)
    return {key: subject or f"group {group}" for key, subject, group in rows}


def unit_of(index: Index) -> str:
    """What the intervals draw."""
    return "people" if index.about.subjects_known else "groups of look-alike pictures"


def evaluate(
    predictions: Predictions, person: Mapping[str, str], unit: str, classes: Sequence[str], params: Evaluate
) -> dict[str, Any]:
    """All figures of an experiment's predictions, as scores.json has them.

    person: whom each key belongs to, drawn as one for the intervals; unit: what to call them. A figure is the
    mean over cells; `pooled` that of all counts.
    """
    test = predictions.of_part(TEST)
    matrix = metrics.count(test.label, test.predicted, len(classes))
    cells = [_cell(cell, made, person, len(classes)) for cell, made in test.by_cell()]
    return {
        "classes": list(classes),
        "confidence": params.confidence,
        "unit": unit,
        "people": len({person[key] for key in test.key.tolist()}),
        "samples": len(set(test.key.tolist())),
        "figures": _figures(test, person, len(classes), matrix, cells, params),
        "cross_entropy": _mean_of(cells, "cross_entropy"),
        "validation": _validation(predictions.of_part(VALIDATION), len(classes)),
        "cells": cells,
        "per_class": _per_class(classes, matrix),
        "confusion": matrix.tolist(),
    }


def write_results(scores: Mapping[str, Any], predictions: Predictions, into: Path) -> None:
    """Write scores.json (everything), metrics.json (for `dvc metrics`) and the CSV files into a folder."""
    into.mkdir(parents=True, exist_ok=True)
    write_json(scores, into / SCORES)
    write_json(headline(scores), into / METRICS)
    cells = scores["cells"]
    write_csv(list(cells[0]), (c.values() for c in cells), into / PER_FOLD)
    rows = [{"class": name, **values} for name, values in scores["per_class"].items()]
    write_csv(list(rows[0]), (r.values() for r in rows), into / PER_CLASS)
    test, names = predictions.of_part(TEST), scores["classes"]
    pairs = zip(test.label.tolist(), test.predicted.tolist(), strict=True)
    write_csv(["actual", "predicted"], ((names[a], names[p]) for a, p in pairs), into / CONFUSION)


def headline(scores: Mapping[str, Any]) -> dict[str, Any]:
    """The few figures for `dvc metrics show`, as shares of 1."""
    figures = scores["figures"]
    return {
        **{name: {b: figures[name]["people"][b] for b in ("mean", "low", "high")} for name in FIGURES},
        "cross_entropy": scores["cross_entropy"],
        "validation_mean_accuracy": scores["validation"]["mean_accuracy"],
    }


def summary(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Fewer still, for one row an experiment."""
    figures = scores["figures"]
    row = {name: figures[name]["people"]["mean"] for name in FIGURES}
    bounds = figures["mean_accuracy"]["people"]
    return row | {"mean_accuracy_low": bounds["low"], "mean_accuracy_high": bounds["high"]}


def write_json(value: Mapping[str, Any], path: Path) -> None:
    """Write JSON whole; NaN becomes null, because JSON has no NaN."""
    with whole(path) as scratch:
        scratch.write_text(json.dumps(_plain(value), indent=2) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object. MienError names a file that is missing or holds something else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MienError(f"{path} is missing; run the stage that makes it (`dvc repro`).") from None
    except ValueError as error:
        raise MienError(f"{path} is not JSON ({error}); delete it and run `dvc repro`.") from error
    if not isinstance(value, dict):
        raise MienError(f"{path} does not hold an object; delete it and run `dvc repro`.")
    return value


def write_csv(header: Sequence[str], rows: Iterable[Iterable[Any]], path: Path) -> None:
    """Write CSV whole; NaN becomes an empty field."""
    with whole(path) as scratch, scratch.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([["" if _is_nan(value) else value for value in row] for row in rows])


def _cell(cell: Cell, made: Predictions, person: Mapping[str, str], classes: int) -> dict[str, Any]:
    rates = metrics.rates(metrics.count(made.label, made.predicted, classes))
    return {
        "fold": cell[0],
        "seed": cell[1],
        "samples": len(made),
        "people": len({person[key] for key in made.key}),
        **{name: float(figure(rates)) for name, figure in FIGURES.items()},
        "cross_entropy": metrics.cross_entropy(made.label, made.probabilities),
    }


def _figures(
    test: Predictions,
    person: Mapping[str, str],
    classes: int,
    matrix: metrics.Counts,
    cells: Sequence[Mapping[str, Any]],
    params: Evaluate,
) -> dict[str, Any]:
    tallies = intervals.tally(test, person, classes)
    pooled = metrics.rates(matrix)
    figures: dict[str, Any] = {}
    for name, figure in FIGURES.items():
        people = intervals.over_people(tallies, figure, params.confidence, params.resamples, params.seed)
        over = intervals.over_cells([cell[name] for cell in cells], params.confidence)
        figures[name] = {"people": _bounds(people), "cells": _bounds(over), "pooled": float(figure(pooled))}
    return figures


def _bounds(interval: Interval) -> dict[str, Any]:
    return {"mean": interval.mean, "low": interval.low, "high": interval.high, "units": interval.units}


def _validation(made: Predictions, classes: int) -> dict[str, Any]:
    """What model choice may look at: figures of the validation keys, mean over cells."""
    cells = [_cell(cell, part, {key: key for key in part.key}, classes) for cell, part in made.by_cell()]
    return {name: _mean_of(cells, name) for name in (*FIGURES, "cross_entropy")}


def _per_class(classes: Sequence[str], matrix: metrics.Counts) -> dict[str, dict[str, Any]]:
    rates = metrics.rates(matrix)
    return {
        name: {
            "samples": int(matrix[i].sum()),
            "recall": float(rates.recall[i]),
            "precision": float(rates.precision[i]),
            "f1": float(rates.f1[i]),
        }
        for i, name in enumerate(classes)
    }


def _mean_of(cells: Sequence[Mapping[str, Any]], name: str) -> float:
    """Mean over folds of the mean over a fold's seeds, as in `intervals`."""
    folds = sorted({cell["fold"] for cell in cells})
    by_fold = [np.mean([cell[name] for cell in cells if cell["fold"] == fold]) for fold in folds]
    return float(np.mean(by_fold)) if by_fold else math.nan


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if _is_nan(value) else value


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
