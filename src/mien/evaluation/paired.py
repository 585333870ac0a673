"""Which of two classifiers is better on the same faces, person by person.

A person's pictures resemble each other, so the test that decides flips the signs of people's gains, not of
single faces; McNemar's test, which takes each face alone, is given beside it because readers ask for it.
"""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from mien.evaluation.metrics import Floats

RESAMPLES = 9999
"""Sign flips that are drawn; up to 13 people all of them are taken, and the p-value is exact."""


def mean_accuracy_weights(
    label: NDArray[np.int64], fold: NDArray[np.int64], seed: NDArray[np.int64]
) -> Floats:
    """Weights (N,) of faces whose sum over the right answers is the mean accuracy.

    Mean over folds of the mean over a fold's seeds of the mean recall, as in `intervals`.
    """
    weight = np.zeros(len(label), dtype=np.float64)
    folds = np.unique(fold)
    for one in folds:
        seeds = np.unique(seed[fold == one])
        for draw in seeds:
            cell = (fold == one) & (seed == draw)
            names, number = np.unique(label[cell], return_counts=True)
            share = dict(zip(names.tolist(), number.tolist(), strict=True))
            each = len(folds) * len(seeds) * len(names)
            weight[cell] = [1 / (each * share[name]) for name in label[cell].tolist()]
    return weight


def by_person(gain: Floats, person: Sequence[str]) -> Floats:
    """The sums (people,) of faces' gains (N,), people in the order of their names."""
    who = np.unique(np.asarray(person, dtype=str), return_inverse=True)[1]
    return np.asarray(np.bincount(who, weights=gain), dtype=np.float64)


def sign_flip(gains: Floats, seed: int, alternative: Literal["greater", "two-sided"]) -> float:
    """How probable a total gain as large is when each person's (people,) could as well have the other sign.

    NaN for fewer than two people, of whom nothing can be said.
    """
    if len(gains) < 2:
        return math.nan
    tested = stats.permutation_test(
        (gains,),
        lambda drawn, axis: np.sum(drawn, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=1000,
        alternative=alternative,
        rng=np.random.default_rng(seed),
    )
    return float(tested.pvalue)


def named_rightly(one: NDArray[np.bool_], two: NDArray[np.bool_], names: tuple[str, str]) -> dict[str, int]:
    """How many faces (N,) both name rightly, only the one or the other, by `only_NAME`, and neither."""
    return {
        "both": int((one & two).sum()),
        f"only_{names[0]}": int((one & ~two).sum()),
        f"only_{names[1]}": int((~one & two).sum()),
        "neither": int((~one & ~two).sum()),
    }


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided McNemar: faces that only the first, and only the second, names rightly; 1 for none."""
    apart = only_first + only_second
    return float(stats.binomtest(only_first, apart, 0.5).pvalue) if apart else 1.0
