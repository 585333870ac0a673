"""Means over folds, seeds and classes of what single cells gave, with their spread."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Average:
    """A mean with two spreads; NaN where too little was there to give one.

    std_folds: over folds, each the mean of its seeds. std_seeds: over seeds, each a whole cross-validation.
    """

    mean: float
    std_folds: float
    std_seeds: float
    cells: int  # that have a figure
    of: int  # that were run


@dataclass(frozen=True)
class Table:
    """What a row of Tables 2 and 3 of HS-OCFER holds."""

    classes: Mapping[str, Average]
    mean: Average  # over classes
    by_seed: Mapping[int, float]  # the mean of each whole cross-validation


def tabulate(cells: Iterable[Mapping[str, Any]], figure: str, score: str) -> Table:
    """The averages of a trial's cells as scores.json has them; one without a figure holds None or NaN."""
    values: dict[tuple[int, int, str], float] = {}
    for cell in cells:
        value = cell[figure][score]
        values[cell["seed"], cell["fold"], cell["normal"]] = math.nan if value is None else value
    return of_values(values)


def of_values(values: Mapping[tuple[int, int, str], float]) -> Table:
    """The averages of figures by (seed, fold, normal class); NaN for an empty cell.

    Each class counts once in the mean over classes, however many of its cells are empty, and an empty cell
    does not enter the spreads: those are of deviations from the class's own mean.
    """
    seeds, folds = (
        list(dict.fromkeys(key[0] for key in values)),
        list(dict.fromkeys(key[1] for key in values)),
    )
    classes = list(dict.fromkeys(key[2] for key in values))
    grid = np.full((len(seeds), len(folds), len(classes)), np.nan)
    for (seed, fold, normal), value in values.items():
        grid[seeds.index(seed), folds.index(fold), classes.index(normal)] = value
    of_class = finite_mean(grid, (0, 1))
    apart = grid - of_class
    asked = [sum(key[2] == name for key in values) for name in classes]
    mean = float(finite_mean(of_class, 0))
    return Table(
        classes={
            name: _average(float(of_class[k]), apart[:, :, k : k + 1], asked[k])
            for k, name in enumerate(classes)
        },
        mean=_average(mean, apart, len(values)),
        by_seed={seed: mean + float(finite_mean(apart[i], (0, 1))) for i, seed in enumerate(seeds)},
    )


def std(values: Sequence[float] | Floats) -> float:
    """Sample standard deviation of the finite ones; NaN for fewer than two."""
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    return float(finite.std(ddof=1)) if len(finite) > 1 else math.nan


def _average(mean: float, apart: Floats, asked: int) -> Average:
    """apart (seeds, folds, classes): figures less their class's mean."""
    over_folds, over_seeds = finite_mean(finite_mean(apart, 0), 1), finite_mean(finite_mean(apart, 1), 1)
    return Average(mean, std(over_folds), std(over_seeds), int(np.isfinite(apart).sum()), asked)


def finite_mean(values: Floats, axis: int | tuple[int, ...]) -> Floats:
    """Mean over the finite ones; NaN where there is none."""
    there = np.isfinite(values)
    number = there.sum(axis=axis)
    total = np.where(there, values, 0.0).sum(axis=axis)
    mean: Floats = np.where(number > 0, total / np.maximum(number, 1), np.nan)
    return mean
