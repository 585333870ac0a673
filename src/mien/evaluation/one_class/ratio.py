"""The ratio study: AUC when normal and alien test faces are drawn in other proportions (HS-OCFER, Fig. 3).

Scores stay as they are; only test faces are drawn anew. AUC compares a normal with an alien face, whatever
the share of either, so the expectation is the same at every ratio and only the spread changes.
"""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

RATIOS = tuple(Fraction(*pair) for pair in ((1, 10), (1, 5), (1, 2), (1, 1), (2, 1), (5, 1), (10, 1)))
"""Faces of the normal class to faces of each alien class."""
ENTRIES = 2**22  # of the table of comparisons that is in memory at a time

Floats = NDArray[np.float64]


def drawn_aucs(
    normal: Floats, aliens: Sequence[Floats], ratio: Fraction, draws: int, random: np.random.Generator
) -> Floats:
    """The mean of the pairwise AUCs under `draws` drawings without replacement, (draws,).

    normal (n,), aliens: the scores of each alien class. At 1 and above all n normal faces stay and n / ratio
    of each alien class are drawn; below 1, n of each alien class stay and n * ratio normal faces are drawn;
    at least one, and of a class with fewer faces all.
    """
    n = len(normal)
    kept = n if ratio >= 1 else max(1, _round(n * ratio))
    taken = max(1, _round(n / ratio)) if ratio >= 1 else n
    below = shares_below(normal, np.concatenate(aliens), _drawn(n, kept, draws, random))
    total, start = np.zeros(draws), 0
    for alien in aliens:
        own = below[:, start : start + len(alien)]
        total += (own * _drawn(len(alien), taken, draws, random)).sum(axis=1)
        start += len(alien)
    return total / len(aliens)


def name(ratio: Fraction) -> str:
    """`1:10`, as the paper writes it: normal to each alien class."""
    return f"{ratio.numerator}:{ratio.denominator}"


def _drawn(count: int, wanted: int, draws: int, random: np.random.Generator) -> Floats:
    """(draws, count) weights, each row 1 / k on k = min(wanted, count) of them drawn at random."""
    k = min(wanted, count)
    if k == count:
        return np.full((draws, count), 1 / count)
    chosen = random.random((draws, count)).argpartition(k - 1, axis=1)[:, :k]
    weights = np.zeros((draws, count))
    np.put_along_axis(weights, chosen, 1 / k, axis=1)
    return weights


def shares_below(normal: Floats, alien: Floats, weights: Floats) -> Floats:
    """(draws, A): the weight of normal faces that score below each alien, equals counting half."""
    step = max(1, ENTRIES // len(normal))
    parts = []
    for start in range(0, len(alien), step):
        some = alien[start : start + step]
        wins = (some > normal[:, None]) + 0.5 * (some == normal[:, None])
        parts.append(weights @ wins)
    return np.concatenate(parts, axis=1)


def _round(value: Fraction) -> int:
    """To the nearest, halves up."""
    return int(value + Fraction(1, 2))
