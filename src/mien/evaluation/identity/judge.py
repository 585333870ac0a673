"""Who says whether a generated face is neutral: one that never saw a generated face, nor the test people.

Histograms of oriented gradients of the aligned, equalised face, and a kernel machine on them. It is fitted
anew on the training people of each cell, so that every experiment of a cell has the same judge, whatever its
own network has learnt. It reads edges: a blurred face is hard for it, so what it says of true neutral faces
stands beside what it says of generated ones.
"""

from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.svm import SVC
from torch import Tensor

from mien.parts.frontal import aligned, equalised
from mien.parts.hog import hog
from mien.shards.index import Index
from mien.shards.indexed import IndexedReader

CELL_PX = 8
PENALTY = 10.0  # C; the kernel's width is scikit-learn's "scale"
FACES_A_BATCH = 256
NEEDS = ("faces", "label", "points")


class ExpressionJudge:
    """Names the expression of aligned grey faces."""

    def __init__(self) -> None:
        self._machine = SVC(C=PENALTY)

    def learn(self, index: Index, rows: NDArray[np.int64]) -> Self:
        """Fit on these rows."""
        reader = IndexedReader(index, rows, index.classes, NEEDS, threads=1)
        features, labels = [], []
        for batch in reader.in_order(FACES_A_BATCH):
            assert batch.points is not None
            features.append(_edges(aligned(batch.faces, batch.points)))
            labels.append(batch.label.numpy())
        self._machine.fit(np.concatenate(features), np.concatenate(labels))
        return self

    def __call__(self, faces: Tensor) -> NDArray[np.int64]:
        """Faces (N, 1, 64, 64) in 0..255 -> (N,) numbers of classes."""
        named = [self._machine.predict(_edges(part)) for part in torch.split(faces.float(), FACES_A_BATCH)]
        return np.concatenate(named).astype(np.int64)


def _edges(faces: Tensor) -> NDArray[np.float32]:
    found: NDArray[np.float32] = hog(equalised(faces)[:, 0].double() / 255, CELL_PX).float().numpy()
    return found
