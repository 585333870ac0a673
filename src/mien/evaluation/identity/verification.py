"""Whether generated faces are still the same people: how far they are from the face (IDFERM, Table 1).

The paper takes 1.242 as the threshold of L2 between VGG-Face features. It stems from FaceNet, where it bounds
the squared distance of unit vectors. Both readings are given, and a threshold of the network's own: where it
errs as often on pairs of one person as on pairs of two.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

FACENET = 1.242
PAIRED_FACES = 400  # at most; their pairs give the own threshold

Vectors = NDArray[np.float64]


@dataclass(frozen=True)
class Verification:
    """Shares of generated faces that are taken for somebody else."""

    beyond_squared: float  # squared distance over 1.242
    beyond_plain: float  # distance over 1.242
    beyond_own: float  # squared distance over the own threshold
    threshold: float  # squared; NaN where pairs of one person, or of two, are lacking
    equal_error: float  # at that threshold, on real faces
    squared: Vectors  # (N,) distances between a face and the one generated from it


def verify(
    faces: Vectors, generated: Vectors, real: Vectors, person: NDArray[np.int64], seed: int = 0
) -> Verification:
    """Unit vectors (N, D) of faces and of those generated from them, and real faces (M, D) of persons (M,).

    The real ones give the own threshold; person is -1 where unknown.
    """
    squared = np.square(faces - generated).sum(axis=1)
    threshold, error = equal_error(real, person, seed)
    return Verification(
        beyond_squared=float((squared > FACENET).mean()),
        beyond_plain=float((np.sqrt(squared) > FACENET).mean()),
        beyond_own=float((squared > threshold).mean()) if np.isfinite(threshold) else np.nan,
        threshold=threshold,
        equal_error=error,
        squared=squared,
    )


def equal_error(faces: Vectors, person: NDArray[np.int64], seed: int = 0) -> tuple[float, float]:
    """The squared distance at which one person's pairs are refused as often as two people's are accepted.

    And how often that is. NaN twice where there are no pairs of one kind.
    """
    known = np.flatnonzero(person >= 0)
    known = np.sort(np.random.default_rng(seed).permutation(known)[:PAIRED_FACES])
    first, second = np.triu_indices(len(known), k=1)
    same = person[known][first] == person[known][second]
    if same.all() or not same.any():
        return np.nan, np.nan
    squared = np.square(faces[known][first] - faces[known][second]).sum(axis=1)
    accepted, found, at = roc_curve(same, -squared)
    place = int(np.argmin(np.abs(accepted - (1 - found))))
    return float(-at[place]), float((accepted[place] + 1 - found[place]) / 2)
