"""The smallest soft ball round the images of points under a kernel: the dual of SVDD.

Tax and Duin, *Support Vector Data Description*, Machine Learning 2004:
minimise a'Ka - sum_i a_i K_ii subject to sum_i a_i = 1 and 0 <= a_i <= C, with C = 1 / (nu n).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.config import MienError

TINY = 1e-12  # relative; a curvature below it means two copies of one point


@dataclass(frozen=True)
class Ball:
    """A solved dual."""

    weights: NDArray[np.float64]  # (n,) a: the centre is their mixture
    within: float  # a'Ka, the centre's squared length
    radius2: float  # squared distance of the points on the surface
    steps: int


def bound(nu: float, count: int) -> float:
    """C = 1 / (nu n), at most 1: beyond that no weight can reach it and the ball is a hard one."""
    return min(1.0, 1 / (nu * count))


def solve_ball(gram: NDArray[np.float64], upper: float, tolerance: float = 1e-8) -> Ball:
    """Sequential minimal optimisation, two weights a step, the second chosen by its gain (Fan et al. 2005).

    gram (n, n) is not changed; `upper` is C in [1/n, 1]; `tolerance` is of the gradient's largest violation,
    in units of the mean of the gram's diagonal. MienError: a gram that is not finite, no convergence.
    """
    count, own = len(gram), np.diagonal(gram)
    if not np.isfinite(gram).all():
        raise MienError("SVDD: the kernel of the training faces is not finite; change gamma.")
    unit = max(float(np.abs(own).mean()), TINY)
    weights = _start(count, upper)
    gradient = 2 * gram @ weights - own
    limit, edge = 1000 * count + 100_000, TINY * upper  # closer to a bound than that is at it
    for step in range(limit):
        room = weights < upper - edge
        low = int(np.where(room, gradient, np.inf).argmin())
        gain = np.where(weights > edge, gradient - gradient[low], -np.inf)
        if not room.any() or gain.max() <= tolerance * unit:
            weights = np.where(weights > edge, np.where(room, weights, upper), 0.0)
            return _solved(gram, weights, gradient, upper, step)
        bend = np.maximum(own + own[low] - 2 * gram[low], TINY * unit)
        high = int(np.where(gain > 0, gain**2 / bend, -np.inf).argmax())
        shift = min(gain[high] / (2 * bend[high]), upper - weights[low], weights[high])
        weights[low] += shift
        weights[high] -= shift
        gradient += 2 * shift * (gram[low] - gram[high])
    raise MienError(f"SVDD: its dual did not converge in {limit} steps on {count} faces; raise nu.")


def _start(count: int, upper: float) -> NDArray[np.float64]:
    """The first points at the bound, as many as it takes."""
    weights = np.zeros(count)
    full = min(int(1 / upper), count)
    weights[:full] = upper
    if full < count:
        weights[full] = max(0.0, 1 - full * upper)
    return weights


def _solved(
    gram: NDArray[np.float64],
    weights: NDArray[np.float64],
    gradient: NDArray[np.float64],
    upper: float,
    steps: int,
) -> Ball:
    """The radius from the points strictly between the bounds; without any, from the nearest of both sides."""
    within = float(weights @ gram @ weights)
    distance2 = within - gradient  # K_ii - 2 (Ka)_i + a'Ka
    free = (weights > 0) & (weights < upper)
    if free.any():
        radius2 = float(distance2[free].mean())
    else:
        inside, outside = distance2[weights == 0], distance2[weights > 0]
        radius2 = float(np.mean([inside.max(), outside.min()]) if len(inside) else outside.min())
    return Ball(weights, within, radius2, steps)
