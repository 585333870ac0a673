"""Who says whether a generated face is neutral: one that never saw a generated face, nor the test people.

Histograms of oriented gradients of the aligned, equalised face, and a linear machine on them that tells
neutral faces from all others. It is fitted anew on the training people of each cell, so that every experiment
of a cell has the same judge, whatever its own network has learnt; and on their frontal faces that were not
taken in the wild, as generated faces are meant to be such. Where it draws the line these people say too: each
is told by a machine that was fitted without them, and the line lies where neutral faces are refused as often
as others are accepted. What it says of true neutral faces stands beside what it says of generated ones.
"""

from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_curve
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.svm import LinearSVC
from torch import Tensor

from mien.parts.frontal import aligned, equalised
from mien.parts.hog import hog
from mien.shards.index import Index
from mien.shards.indexed import IndexedReader
from mien.shards.selection import cleanness

CELL_PX = 4
PENALTY = 0.003  # C; both kinds weigh alike
PARTS = 5  # of the training people, to draw the line
FACES_A_BATCH = 256
NEEDS = ("faces", "label", "points")

Edges = NDArray[np.float32]


class NeutralJudge:
    """Tells whether aligned grey faces are neutral."""

    def __init__(self, neutral: str) -> None:
        self._neutral = neutral
        self._machine = _machine()
        self._line = 0.0

    def learn(self, index: Index, rows: NDArray[np.int64]) -> Self:
        """Fit on the clean ones of these rows, or on all where those are not of both kinds."""
        clean = rows[cleanness(index, rows) != 0]
        rows = clean if len(set((index.expression[clean] == self._neutral).tolist())) == 2 else rows
        reader = IndexedReader(index, rows, index.classes, NEEDS, threads=1)
        features: list[Edges] = []
        for batch in reader.in_order(FACES_A_BATCH):
            assert batch.points is not None
            features.append(_edges(aligned(batch.faces, batch.points)))
        told, neutral = np.concatenate(features), index.expression[rows] == self._neutral
        person = index.group[rows]
        of_each_kind = min(len(set(person[neutral == kind].tolist())) for kind in (True, False))
        if of_each_kind > 1:  # of one person nobody is left to draw the line by: it stays the machine's own
            self._line = equal_error_line(told, neutral, person.tolist())[0]
        self._machine.fit(told, neutral)
        return self

    def __call__(self, faces: Tensor) -> NDArray[np.bool_]:
        """Faces (N, 1, 64, 64) in 0..255 -> (N,) whether each is taken for neutral."""
        told = [self._machine.decision_function(_edges(f)) for f in torch.split(faces.float(), FACES_A_BATCH)]
        found: NDArray[np.bool_] = np.concatenate(told) >= self._line
        return found


def equal_error_line(
    features: Edges, neutral: NDArray[np.bool_], person: Sequence[int]
) -> tuple[float, NDArray[np.float64]]:
    """Where machines refuse as large a share of unseen people's neutral faces as they accept of others.

    And what they say (N,). features (N, D), neutral (N,), person (N,): nobody is told by a machine that saw a
    face of theirs.
    """
    parts = StratifiedGroupKFold(min(PARTS, len(set(person))))
    told = cross_val_predict(
        _machine(), features, neutral, groups=person, cv=parts, method="decision_function"
    )
    accepted, found, line = roc_curve(neutral, told, drop_intermediate=False)
    return float(line[int(np.argmin(np.abs(accepted - (1 - found))))]), told


def _machine() -> LinearSVC:
    return LinearSVC(C=PENALTY, class_weight="balanced")


def _edges(faces: Tensor) -> Edges:
    """What the machine reads of faces (N, 1, 64, 64) in 0..255: (N, D)."""
    found: Edges = hog(equalised(faces)[:, 0].double() / 255, CELL_PX).float().numpy()
    return found
