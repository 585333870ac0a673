"""What the report knows of each experiment, read from runs and results."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mien import methods
from mien.config import Params
from mien.config.report import Evaluate
from mien.config.train import Experiment
from mien.evaluation import intervals
from mien.evaluation.figures import Curve, Curves
from mien.evaluation.intervals import Interval, Tallies
from mien.evaluation.predictions import CURVES, CURVES_FILE, PREDICTIONS_FILE, RUN, TEST, read_predictions
from mien.evaluation.results import FIGURES, SCORES, person_of, read_json
from mien.manifest.tables import read_table
from mien.shards.index import Index

CELLS = "cells"


@dataclass(frozen=True)
class Outcome:
    """One experiment: what was asked, what was run, what came out."""

    name: str
    entry: Experiment
    scores: Mapping[str, Any]  # scores.json
    run: Mapping[str, Any]  # run.json
    curves: Curves
    points: Sequence[Mapping[str, Any]]  # rows of curves.parquet
    parameters: int | None
    tallies: Tallies  # of the test part, for paired differences

    @property
    def records(self) -> list[dict[str, Any]]:
        """The methods' records of their runs, each different one once."""
        found = [cell.get("record") or {} for cell in self.run.get("cells", [])]
        return [record for i, record in enumerate(found) if record and record not in found[:i]]


@dataclass(frozen=True)
class Difference:
    """Mean accuracy of one experiment less that of the first on the same corpus and folds."""

    name: str
    baseline: str
    interval: Interval

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.interval.low > 0 or self.interval.high < 0


def read_outcomes(params: Params, results: Path, runs: Path, indexes: Mapping[str, Index]) -> list[Outcome]:
    """The outcome of each experiment of params.yaml that names classes and has results, in its order."""
    return [
        _outcome(name, entry, results / name, runs / name, indexes[entry.corpus])
        for name, entry in params.experiments.items()
        if not entry.trials and (results / name / SCORES).is_file()
    ]


def differences(outcomes: Sequence[Outcome], params: Evaluate) -> list[Difference]:
    """Each experiment against the first of its corpus, label noise and folds, person by person."""
    first: dict[tuple[str, float, tuple[int, ...]], Outcome] = {}
    found = []
    for outcome in outcomes:
        noise = outcome.entry.label_noise.share  # flipped training labels are another task
        baseline = first.setdefault((outcome.entry.corpus, noise, tuple(sorted(outcome.tallies))), outcome)
        if baseline is not outcome:
            interval = intervals.paired(
                baseline.tallies,
                outcome.tallies,
                FIGURES["mean_accuracy"],
                params.confidence,
                params.resamples,
                params.seed,
            )
            found.append(Difference(outcome.name, baseline.name, interval))
    return found


def _outcome(name: str, entry: Experiment, results: Path, run: Path, index: Index) -> Outcome:
    scores = read_json(results / SCORES)
    predictions = read_predictions(run / PREDICTIONS_FILE, len(scores["classes"])).of_part(TEST)
    points = read_table(run / CURVES_FILE, CURVES).to_pylist()
    return Outcome(
        name=name,
        entry=entry,
        scores=scores,
        run=read_json(run / RUN),
        curves=curves_of(points),
        points=points,
        parameters=learnt_numbers(run / CELLS),
        tallies=intervals.tally(predictions, person_of(index), len(scores["classes"])),
    )


def curves_of(points: Sequence[Mapping[str, Any]]) -> Curves:
    """Epochs counted over all phases; names with `loss` apart from those that are shares of 1.

    A method that is solved at once has no curves: one point is no line.
    """
    starts = _starts(points)
    if all(point["epoch"] == 0 for point in points) and len(starts) == 1:
        return Curves(losses={}, shares={}, starts=[])
    named: dict[str, dict[tuple[int, int], list[tuple[int, float]]]] = {}
    for point in points:
        if point["value"] is not None and math.isfinite(point["value"]):
            cells = named.setdefault(point["name"], {})
            at = starts[point["phase"]] + point["epoch"]
            cells.setdefault((point["fold"], point["seed"]), []).append((at, point["value"]))
    ordered: dict[str, list[Curve]] = {n: [sorted(c) for c in cells.values()] for n, cells in named.items()}
    return Curves(
        losses={n: ordered[n] for n in ordered if n in ("train_loss", "validation_loss")},
        shares={n: ordered[n] for n in ordered if n in ("validation_accuracy", "validation_mean_accuracy")},
        starts=list(starts.items()),
    )


def _starts(points: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """First epoch of each phase, phases in the order in which they were written."""
    epochs: dict[str, int] = {}
    for point in points:
        epochs[point["phase"]] = max(epochs.get(point["phase"], 0), point["epoch"] + 1)
    starts, total = {}, 0
    for phase, number in epochs.items():
        starts[phase] = total
        total += number
    return starts


def learnt_numbers(cells: Path) -> int | None:
    """Numbers that the first saved model has learnt, or None when none was saved."""
    folders = sorted(path.parent for path in cells.glob(f"*/{methods.WEIGHTS}"))
    if not folders:
        return None
    return methods.learnt(methods.load(folders[0])[0])
