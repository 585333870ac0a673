"""Two one-class trainings side by side on the cells that both have: AUCs, and how sure their difference is.

The intervals draw people, as those of classifiers do. The test flips signs over trainings, because how well
an expression is learnt differs from training to training too, which no drawing of test faces shows.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.config import MienError
from mien.config.report import Evaluate
from mien.config.train import Cell
from mien.evaluation import paired
from mien.evaluation.compared import Trained, refuse_other_faces
from mien.evaluation.intervals import CHUNK, Interval, bounds, draw
from mien.evaluation.one_class.auc import Areas, areas
from mien.evaluation.one_class.averages import finite_mean
from mien.evaluation.one_class.ratio import shares_below
from mien.evaluation.one_class.scores import AlienScores
from mien.evaluation.predictions import TEST
from mien.evaluation.results import person_of, unit_of
from mien.shards.index import Index

MEAN = "mean"
"""Beside the normal classes: the mean over them."""

Floats = NDArray[np.float64]
Pairs = Mapping[Cell, tuple[AlienScores, AlienScores]]


@dataclass(frozen=True)
class OneClassSide(Trained):
    """A one-class training whose alien scores are at hand; the first score of each face counts."""

    scores: AlienScores


@dataclass(frozen=True)
class Rivals:
    """What the two made of one cell."""

    cell: Cell
    areas: tuple[Areas, Areas]
    values: tuple[Floats, Floats]  # (N,) scores
    normal: NDArray[np.bool_]  # (N,) is the face of the normal class?
    label: NDArray[np.int64]  # (N,)
    who: NDArray[np.int64]  # (N,) number of each face's person

    @property
    def gain(self) -> float:
        """AUC of the second less that of the first."""
        return self.areas[1].macro - self.areas[0].macro


@dataclass(frozen=True)
class TrialComparison:
    """One trial; AUCs are shares of 1, differences are second less first."""

    trial: str
    cells: Sequence[Rivals]
    left_out: Sequence[str]  # why a cell that both have does not count
    faces: int
    people: int
    figures: Mapping[str, tuple[Interval, Interval]]  # by normal class, and MEAN
    differences: Mapping[str, Interval]
    p_value: float  # of the mean, over trainings
    trainings: int  # folds and normal classes; several seeds of one count once
    pairwise_points: Floats  # (C, C) normal by alien class, percentage points; NaN where there is none

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        cells = [
            {**c.cell._asdict(), "first": c.areas[0].macro, "second": c.areas[1].macro} for c in self.cells
        ]
        return vars(self) | {
            "cells": cells,
            "figures": {name: [vars(side) for side in pair] for name, pair in self.figures.items()},
            "differences": {name: vars(found) for name, found in self.differences.items()},
            "pairwise_points": self.pairwise_points.tolist(),
        }


@dataclass(frozen=True)
class OneClassComparison:
    """What `compare_one_class` found."""

    sides: tuple[OneClassSide, OneClassSide]
    unit: str
    classes: tuple[str, ...]
    trials: Sequence[TrialComparison]

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return {
            "sides": [side.as_json() for side in self.sides],
            "unit": self.unit,
            "classes": list(self.classes),
            "trials": [trial.as_json() for trial in self.trials],
        }


def compare_one_class(
    first: OneClassSide, second: OneClassSide, index: Index, settings: Evaluate
) -> OneClassComparison:
    """Compare two one-class trainings trial by trial, each under its headline score.

    MienError: other corpora, shards that have changed since, no cell or not the same faces in common.
    """
    refuse_other_faces(first, second, index)
    tests = [dict(side.scores.by_cell(TEST)) for side in (first, second)]
    pairs = {cell: (tests[0][cell], tests[1][cell]) for cell in tests[0] if cell in tests[1]}
    if not pairs:
        raise MienError(
            f"{first.name} and {second.name} have no trial, fold, seed and normal class in common; train one "
            "of them so."
        )
    for cell, (one, two) in pairs.items():
        if one.key.tolist() != two.key.tolist():
            raise MienError(
                f"{first.name} and {second.name} test other faces in {cell.name}: they cannot be compared "
                "face by face."
            )
    person, classes = person_of(index), tuple(index.classes)
    trials = [
        _trial({cell: pairs[cell] for cell in pairs if cell.trial == name}, person, classes, settings)
        for name in dict.fromkeys(cell.trial for cell in pairs)
    ]
    return OneClassComparison((first, second), unit_of(index), classes, trials)


def _trial(
    pairs: Pairs, person: Mapping[str, str], classes: tuple[str, ...], settings: Evaluate
) -> TrialComparison:
    keys = {key for one, _ in pairs.values() for key in one.key.tolist()}
    people = {name: i for i, name in enumerate(sorted({person[key] for key in keys}))}
    number = {key: people[person[key]] for key in keys}
    cells, left_out = _rivals(pairs, number, classes)
    strata = _strata(cells, len(people))
    first, second = _redrawn(cells, strata, settings)

    def interval(values: Floats) -> Interval:
        drawn = values[1:][np.isfinite(values[1:])]
        low, high = bounds(drawn, len(people), len(strata), settings.confidence)
        return Interval(float(values[0]), low, high, len(people))

    gains = _by_training(cells)
    return TrialComparison(
        trial=cells[0].cell.trial,
        cells=cells,
        left_out=left_out,
        faces=len(keys),
        people=len(people),
        figures={name: (interval(first[name]), interval(second[name])) for name in first},
        differences={name: interval(second[name] - first[name]) for name in first},
        p_value=paired.sign_flip(gains, settings.seed, "two-sided"),
        trainings=len(gains),
        pairwise_points=_pairwise_points(cells, classes),
    )


def _rivals(
    pairs: Pairs, number: Mapping[str, int], classes: tuple[str, ...]
) -> tuple[list[Rivals], list[str]]:
    """The cells that have an AUC on both sides, in the order of the classes, and why others have none."""
    cells, left_out = [], []
    for cell in sorted(pairs, key=lambda cell: classes.index(cell.normal)):
        label, normal = pairs[cell][0].label, classes.index(cell.normal)
        one, two = (side.values[:, 0] for side in pairs[cell])
        found = tuple(areas(values, label, normal, dict(enumerate(classes))) for values in (one, two))
        who = np.array([number[key] for key in pairs[cell][0].key.tolist()], dtype=np.int64)
        if reason := found[0].empty or found[1].empty:
            left_out.append(f"{cell.name}: {reason}")
        else:
            cells.append(Rivals(cell, (found[0], found[1]), (one, two), label == normal, label, who))
    if not cells:
        raise MienError(f"no cell has an AUC on both sides ({left_out[0]}); train again.")
    return cells, left_out


def _strata(cells: Sequence[Rivals], people: int) -> list[NDArray[np.int64]]:
    """Whom to draw from: the people of each fold; where folds share people, all of them at once."""
    of_fold: dict[int, set[int]] = {}
    for rivals in cells:
        of_fold.setdefault(rivals.cell.fold, set()).update(rivals.who.tolist())
    if sum(map(len, of_fold.values())) > people:
        return [np.arange(people)]
    return [np.array(sorted(members)) for _, members in sorted(of_fold.items())]


def _redrawn(
    cells: Sequence[Rivals], strata: Sequence[NDArray[np.int64]], settings: Evaluate
) -> list[dict[str, Floats]]:
    """Of each side the AUC by normal class, and MEAN: (1 + resamples,), as it is and on drawn people.

    A person's draw holds for all cells and both sides.
    """
    source, people = np.random.default_rng(settings.seed), sum(map(len, strata))
    chunks = [[[_weighted(rivals, side, np.ones((1, people)))] for rivals in cells] for side in (0, 1)]
    for start in range(0, settings.resamples, CHUNK):
        times = np.zeros((min(CHUNK, settings.resamples - start), people))
        for members in strata:
            times[:, members] = draw(source, len(times), len(members))
        for side in (0, 1):
            for number, rivals in enumerate(cells):
                chunks[side][number].append(_weighted(rivals, side, times))
    return [_by_class(cells, [np.concatenate(cell) for cell in side]) for side in chunks]


def _by_class(cells: Sequence[Rivals], values: Sequence[Floats]) -> dict[str, Floats]:
    """Means over the cells of a class, and over classes."""
    found = {}
    for name in dict.fromkeys(rivals.cell.normal for rivals in cells):
        own = [v for rivals, v in zip(cells, values, strict=True) if rivals.cell.normal == name]
        found[name] = finite_mean(np.stack(own), 0)
    return found | {MEAN: finite_mean(np.stack(list(found.values())), 0)}


def _weighted(rivals: Rivals, side: int, times: Floats) -> Floats:
    """AUC (rows,) when each person's faces count `times` (rows, people); NaN where nothing is left."""
    values, aliens = rivals.values[side], rivals.label[~rivals.normal]
    own, others = times[:, rivals.who[rivals.normal]], times[:, rivals.who[~rivals.normal]]
    below = shares_below(values[rivals.normal], values[~rivals.normal], _shares(own))
    of_class = [aliens == alien for alien in np.unique(aliens)]
    pairwise = [(below[:, here] * _shares(others[:, here])).sum(axis=1) for here in of_class]
    return finite_mean(np.stack(pairwise), 0)


def _shares(times: Floats) -> Floats:
    """Rows that sum to 1; NaN where there is nothing."""
    total = times.sum(axis=1, keepdims=True)
    shares: Floats = np.divide(times, total, out=np.full_like(times, math.nan), where=total > 0)
    return shares


def _by_training(cells: Sequence[Rivals]) -> Floats:
    """What each fold and normal class adds to the mean difference, over its seeds."""
    of_class: dict[str, int] = {}
    for rivals in cells:
        of_class[rivals.cell.normal] = of_class.get(rivals.cell.normal, 0) + 1
    gains: dict[tuple[int, str], float] = {}
    for rivals in cells:
        key, each = (rivals.cell.fold, rivals.cell.normal), of_class[rivals.cell.normal] * len(of_class)
        gains[key] = gains.get(key, 0.0) + rivals.gain / each
    return np.array(list(gains.values()))


def _pairwise_points(cells: Sequence[Rivals], classes: tuple[str, ...]) -> Floats:
    """How much better the second tells each normal from each alien class, mean over cells."""
    apart = np.full((len(cells), len(classes), len(classes)), math.nan)
    for number, rivals in enumerate(cells):
        row, (first, second) = classes.index(rivals.cell.normal), (a.pairwise for a in rivals.areas)
        for alien, area in first.items():
            apart[number, row, classes.index(alien)] = 100 * (second[alien] - area)
    return finite_mean(apart, 0)
