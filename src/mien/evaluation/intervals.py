"""How sure a figure is: bootstrap over people, Student's t over cells, and paired differences.

A person's pictures resemble each other, so people are drawn, not pictures. The percentiles are widened for
few people (the expanded percentiles of Hesterberg, What Teachers Should Know About the Bootstrap, 2015).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special  # scipy.stats takes a second to import, in every process

from mien.evaluation.metrics import Floats, Rates, rates
from mien.evaluation.predictions import Cell, Predictions

CHUNK = 64  # resamples at a time: bounds memory at any number of people

Figure = Callable[[Rates], Floats]
Tallies = Mapping[int, Mapping[Cell, NDArray[np.int64]]]
"""fold -> cell -> (people, C, C) counts; all cells of a fold have the same people in the same order."""


@dataclass(frozen=True)
class Interval:
    """A mean with its bounds; the bounds are NaN where too little was seen to give any."""

    mean: float
    low: float
    high: float
    units: int  # people (or cells) that the bounds rest on


def tally(predictions: Predictions, person: Mapping[str, str], classes: int) -> Tallies:
    """Counts of each cell by person; `person` is that of each key, or the key where none is known."""
    tallies: dict[int, dict[Cell, NDArray[np.int64]]] = {}
    people: dict[int, dict[str, int]] = {}
    for fold in sorted(set(predictions.fold.tolist())):
        names = sorted({person[key] for key in predictions.key[predictions.fold == fold]})
        people[fold], tallies[fold] = {name: i for i, name in enumerate(names)}, {}
    for cell, made in predictions.by_cell():
        order = people[cell[0]]
        who = np.array([order[person[key]] for key in made.key], dtype=np.int64)
        counts = np.zeros((len(order), classes, classes), dtype=np.int64)
        np.add.at(counts, (who, made.label, made.predicted), 1)
        tallies[cell[0]][cell] = counts
    return tallies


def over_people(tallies: Tallies, figure: Figure, confidence: float, resamples: int, seed: int) -> Interval:
    """The mean of a figure over all cells, with the bootstrap interval from drawing each fold's people anew.

    All seeds of a fold see the same draw: a person is one unit, however often they were predicted.
    """
    here = _mean_over_cells({fold: _figures(cells, figure) for fold, cells in tallies.items()})
    drawn = _redrawn([tallies], figure, resamples, seed)[0]
    low, high = bounds(drawn, _people(tallies), len(tallies), confidence)
    return Interval(float(here[0]), low, high, _people(tallies))


def paired(
    first: Tallies, second: Tallies, figure: Figure, confidence: float, resamples: int, seed: int
) -> Interval:
    """The figure of `second` less that of `first`, both on the same drawn people of the same folds."""
    if _shape(first) != _shape(second):
        raise ValueError("a paired comparison needs the same folds and people on both sides")
    means = [over_people(t, figure, confidence, 2, seed).mean for t in (first, second)]
    drawn = _redrawn([first, second], figure, resamples, seed)
    low, high = bounds(drawn[1] - drawn[0], _people(first), len(first), confidence)
    return Interval(means[1] - means[0], low, high, _people(first))


def over_cells(values: Sequence[float], confidence: float) -> Interval:
    """Mean of a figure over cells and Student's t interval; NaN bounds for fewer than two."""
    finite = sorted(v for v in values if not math.isnan(v))
    mean = math.fsum(finite) / len(finite) if finite else math.nan
    if len(finite) < 2:
        return Interval(mean, math.nan, math.nan, len(finite))
    variance = math.fsum((v - mean) ** 2 for v in finite) / (len(finite) - 1)
    half = float(special.stdtrit(len(finite) - 1, (1 + confidence) / 2)) * math.sqrt(variance / len(finite))
    return Interval(mean, mean - half, mean + half, len(finite))


def _redrawn(sides: Sequence[Tallies], figure: Figure, resamples: int, seed: int) -> list[Floats]:
    """The mean over cells of each side, (resamples,) each, for the same draws of people on all sides."""
    source = np.random.default_rng(seed)
    results: list[list[Floats]] = [[] for _ in sides]
    for start in range(0, resamples, CHUNK):
        rows = min(CHUNK, resamples - start)
        times = {fold: draw(source, rows, _first(cells)) for fold, cells in sorted(sides[0].items())}
        for side, result in zip(sides, results, strict=True):
            figures = {fold: _figures(cells, figure, times[fold]) for fold, cells in side.items()}
            result.append(_mean_over_cells(figures))
    return [np.concatenate(result) for result in results]


def _figures(
    cells: Mapping[Cell, NDArray[np.int64]], figure: Figure, times: NDArray[np.int64] | None = None
) -> list[Floats]:
    """A figure (rows,) for each cell of a fold, its people taken `times` (rows, people), or once each."""
    times = np.ones((1, _first(cells)), dtype=np.int64) if times is None else times
    return [np.asarray(figure(rates(_weighted(times, counts)))) for counts in cells.values()]


def draw(source: np.random.Generator, rows: int, people: int) -> NDArray[np.int64]:
    """How often each person is drawn, (rows, people), each row summing to `people`."""
    drawn = source.integers(0, people, (rows, people)) + people * np.arange(rows)[:, None]
    return np.bincount(drawn.ravel(), minlength=rows * people).reshape(rows, people)


def _weighted(times: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """(rows, people) draws of (people, C, C) counts -> (rows, C, C)."""
    people, classes, _ = counts.shape
    # float64 holds these integers exactly and has a fast product
    total = times.astype(np.float64) @ counts.reshape(people, -1).astype(np.float64)
    return total.astype(np.int64).reshape(-1, classes, classes)


def _mean_over_cells(figures: Mapping[int, Sequence[Floats]]) -> Floats:
    """Mean over folds of the mean over a fold's seeds, so that a fold counts once whatever its seeds."""
    by_fold = [np.mean(np.stack(list(figures[fold])), axis=0) for fold in sorted(figures)]
    mean: Floats = np.mean(np.stack(by_fold), axis=0)
    return mean


def bounds(drawn: Floats, people: int, folds: int, confidence: float) -> tuple[float, float]:
    """Bounds of a figure from its values (resamples,) on drawn people; NaN where there are too few of them.

    folds: in how many of them people were drawn, each as many as it has.
    """
    freedom = people - folds  # each fold spends one person on its own mean
    if freedom < 1:
        return math.nan, math.nan
    quantile = float(special.stdtrit(freedom, (1 - confidence) / 2)) * math.sqrt(people / freedom)
    tail = float(special.ndtr(quantile))
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return float(low), float(high)


def _first(cells: Mapping[Cell, NDArray[np.int64]]) -> int:
    return len(next(iter(cells.values())))


def _people(tallies: Tallies) -> int:
    return sum(_first(cells) for cells in tallies.values())


def _shape(tallies: Tallies) -> dict[int, int]:
    return {fold: _first(cells) for fold, cells in tallies.items()}
