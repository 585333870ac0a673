"""Figures of a classifier from counts of (actual, predicted): no digit depends on the order of samples."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
"""(..., C, C): samples of actual class (rows) that were predicted as each class (columns)."""
Floats = NDArray[np.float64]

SMALLEST = float(np.finfo(np.float64).eps)
"""Probabilities below this count as this in the cross-entropy, as in scikit-learn."""


@dataclass(frozen=True)
class Rates:
    """Figures for each matrix of a stack of counts; NaN where nothing was there to count.

    The means over classes take the classes that have samples.
    """

    accuracy: Floats  # (...)
    mean_accuracy: Floats  # (...) mean of the classes' recalls
    macro_f1: Floats  # (...)
    recall: Floats  # (..., C)
    precision: Floats  # (..., C); 0 where a class with samples was never predicted
    f1: Floats  # (..., C)


def count(label: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> Counts:
    """The confusion matrix (C, C) of labels and predictions (N,) in 0..C-1; the label -1 counts nowhere."""
    known = label >= 0
    # scikit-learn's own takes a second to import, in every process
    pairs = label[known] * classes + predicted[known]
    matrix: Counts = np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
    return matrix


def rates(counts: Counts) -> Rates:
    """All figures that follow from counts (..., C, C)."""
    right = np.diagonal(counts, axis1=-2, axis2=-1)
    actual, predicted = counts.sum(axis=-1), counts.sum(axis=-2)
    there = actual > 0
    recall = _ratio(right, actual)
    precision = np.where(there & (predicted == 0), 0.0, _ratio(right, predicted))
    f1 = _ratio(2 * right, actual + predicted)
    return Rates(
        accuracy=_ratio(right.sum(axis=-1), actual.sum(axis=-1)),
        mean_accuracy=_mean(recall, there),
        macro_f1=_mean(f1, there),
        recall=recall,
        precision=precision,
        f1=f1,
    )


def row_normalised(counts: Counts) -> Floats:
    """Each row (..., C) as shares of its class; NaN for a class without samples."""
    return _ratio(counts, counts.sum(axis=-1, keepdims=True))


def cross_entropy(label: NDArray[np.int64], probabilities: Floats) -> float:
    """Mean of -log of the true class's probability, in nats; NaN for no samples.

    label (N,), probabilities (N, C). The sum is exact (`fsum`), so that the order of samples cannot move it.
    """
    if len(label) == 0:
        return math.nan
    of_truth = probabilities[np.arange(len(label)), label]
    return -math.fsum(np.log(np.clip(of_truth, SMALLEST, None)).tolist()) / len(label)


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> Floats:
    part, whole = np.broadcast_arrays(part, whole)
    share: Floats = np.full(part.shape, np.nan)
    np.divide(part, whole, out=share, where=whole > 0)
    return share


def _mean(values: Floats, there: NDArray[np.bool_]) -> Floats:
    total = np.where(there, values, 0.0).sum(axis=-1)
    number = there.sum(axis=-1)
    mean: Floats = np.full(np.shape(total), np.nan)
    np.divide(total, number, out=mean, where=number > 0)
    return mean
