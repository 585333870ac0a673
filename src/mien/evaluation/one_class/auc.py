"""Area under the ROC curve of alien scores, by ranks: how often an alien scores above a normal face."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Areas:
    """The AUCs of one cell under one score, or the reason why there are none."""

    macro: float  # mean over alien classes: what 1:1 sampling of normal and each alien class expects
    full: float  # of all aliens together: the mean of `pairwise` weighted by counts
    pairwise: Mapping[str, float]  # normal against each alien class
    empty: str | None = None  # why the figures are NaN


def placements(normal: Floats, alien: Floats) -> Floats:
    """For each alien score the share of normal scores below it, equals counting half: (A,) in 0..1.

    Their mean is the AUC, alien being the positive class (Mann and Whitney's U with midranks).
    """
    ordered = np.sort(normal)
    ranks = np.searchsorted(ordered, alien, "left") + np.searchsorted(ordered, alien, "right")
    return np.asarray(ranks / (2 * len(ordered)), dtype=np.float64)


def areas(scores: Floats, label: NDArray[np.int64], normal: int, names: Mapping[int, str]) -> Areas:
    """The AUCs of test faces with scores (N,) and labels (N,), the class `normal` against the others.

    names: the name of each class. The figures are NaN, with the reason, where a class or a number lacks.
    """
    own, others = scores[label == normal], sorted({int(n) for n in label} - {normal})
    reason = _unusable(scores, own, others, names[normal])
    if reason:
        return Areas(math.nan, math.nan, {}, reason)
    found = {names[other]: placements(own, scores[label == other]) for other in others}
    pairwise = {name: math.fsum(part) / len(part) for name, part in found.items()}
    total = sum(len(part) for part in found.values())
    full = math.fsum(math.fsum(part) for part in found.values()) / total
    return Areas(math.fsum(pairwise.values()) / len(pairwise), full, pairwise)


def _unusable(scores: Floats, own: Floats, others: list[int], normal: str) -> str | None:
    """Why there is no AUC, or None."""
    if not len(own):
        return f"no {normal} face in the test part"
    if not others:
        return f"no alien in the test part, only {normal}"
    if not np.isfinite(scores).all():
        return f"{int((~np.isfinite(scores)).sum())} of {len(scores)} scores are not finite numbers"
    if scores.min() == scores.max():
        return f"all {len(scores)} scores are the same"
    return None
