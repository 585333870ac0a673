"""What `mien compare` prints."""

import math
from collections.abc import Mapping

from mien.cli.tables import print_table
from mien.evaluation.compared import Comparison
from mien.evaluation.intervals import Interval
from mien.evaluation.metrics import Floats
from mien.evaluation.one_class.compared import OneClassComparison, TrialComparison
from mien.evaluation.rows import interval, percent


def print_comparison(found: Comparison | OneClassComparison) -> None:
    """Tables for a person to read."""
    first, second = (side.name for side in found.sides)
    if isinstance(found, Comparison):
        _print_classifiers(found, first, second)
        return
    for trial in found.trials:
        _print_trial(trial, found, first, second)


def _print_classifiers(found: Comparison, first: str, second: str) -> None:
    _print_figures("%", found.figures, found.differences, first, second)
    folds = ", ".join(map(str, found.folds))
    print(
        f"folds {folds}; p {_p(found.p_value)} over {found.unit} (sign flips), McNemar {found.mcnemar_p:.4f}"
    )
    print(
        f"faces named rightly by both {found.faces['both']}, only by {first} {found.faces['only_first']}, "
        f"only by {second} {found.faces['only_second']}, by neither {found.faces['neither']}; "
        f"{len(found.differing)} are named differently"
    )
    print(f"confusion, {second} less {first}, points of each actual class:")
    _print_points(found.confusion_points, found.classes)


def _print_trial(trial: TrialComparison, found: OneClassComparison, first: str, second: str) -> None:
    print(f"{trial.trial}: {len(trial.cells)} cells, {trial.faces} faces of {trial.people} {found.unit}")
    _print_figures("AUC, %", trial.figures, trial.differences, first, second)
    print(
        f"brackets: {found.unit} drawn anew; p of the mean {_p(trial.p_value)} over {trial.trainings} "
        "trainings, each a fold and a normal class (sign flips)"
    )
    for reason in trial.left_out:
        print(f"left out, no AUC: {reason}")
    print(f"AUC of each normal class against each alien class, {second} less {first}, points:")
    _print_points(trial.pairwise_points, found.classes)


def _print_figures(
    unit: str,
    figures: Mapping[str, tuple[Interval, Interval]],
    differences: Mapping[str, Interval],
    first: str,
    second: str,
) -> None:
    rows = [
        [name.replace("_", " "), *(interval(vars(s)) for s in figures[name]), interval(vars(d), True)]
        for name, d in differences.items()
    ]
    print_table([unit, first, second, "difference, points"], rows)


def _print_points(points: Floats, classes: tuple[str, ...]) -> None:
    """A row a class (C, C), percentage points; NaN as a dash."""
    rows = [
        [name, *(percent(value / 100, signed=True) for value in row)]
        for name, row in zip(classes, points.tolist(), strict=True)
        if not all(map(math.isnan, row))
    ]
    print_table(["", *classes], rows)


def _p(value: float) -> str:
    return "unknown (there is one alone)" if math.isnan(value) else f"{value:.4f}"
