"""A linear SVM on pixels, landmarks or edge histograms: how far a corpus is solved without a learnt feature.

Cortes and Vapnik, *Support-vector networks*, Machine Learning 1995; one against the rest, by liblinear
(scikit-learn's LinearSVC). Pixels and landmarks are standardised on the training part; the histograms
(HOG, Dalal and Triggs, CVPR 2005) come normalised block by block.

Its "probabilities" are a softmax over decision values: they sort classes as the SVM does, uncalibrated.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from sklearn.svm import LinearSVC
from torch import Tensor

from mien.config import MienError, Section
from mien.methods.contract import Method, Phase
from mien.parts.hog import BLOCK, hog, hog_size
from mien.parts.pictures import resize
from mien.shards.batch import Batch

RIGHT_EYE, LEFT_EYE = slice(36, 42), slice(42, 48)  # of the 68 iBUG points; the picture's left one first
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


class LinearSVMConfig(Section):
    """Settings of `methods.linear_svm`."""

    features: Literal["pixels", "landmarks", "hog"] = "pixels"
    input_px: int = Field(32, ge=4)  # pixels, hog: the grey square they are read from
    window: float = Field(1.0, gt=0.2, le=1)  # of which share of the crop's side
    cell_px: int = Field(8, ge=1)  # hog: side of a cell
    C: float = Field(0.01, gt=0)  # the smaller, the smoother
    max_iterations: int = Field(5000, ge=1)


def eye_aligned(points: Tensor) -> Tensor:
    """Move, turn and scale landmarks so that the eyes' centres lie at (-1/2, 0) and (1/2, 0).

    points (N, 68, 2) -> (N, 136). A face whose eyes coincide is only moved.
    """
    right, left = points[:, RIGHT_EYE].mean(dim=1), points[:, LEFT_EYE].mean(dim=1)
    across = left - right
    length = across.square().sum(dim=1, keepdim=True)
    turn = torch.where(length > 0, across / length, torch.tensor([1.0, 0.0], device=points.device))
    x, y = (points - (left + right)[:, None] / 2).unbind(dim=2)
    cos, sin = turn[:, :1], turn[:, 1:]
    return torch.cat([x * cos + y * sin, y * cos - x * sin], dim=1)


def grey_pixels(faces: Tensor, side_px: int, window: float = 1.0) -> Tensor:
    """Grey and small: faces (N, 3, H, W) uint8 -> (N, side_px, side_px) float64 in 0..1."""
    luma = torch.tensor(LUMA, dtype=torch.float64, device=faces.device)[None, :, None, None]
    return resize((faces * luma).sum(dim=1, keepdim=True), side_px, window)[:, 0] / 255


class LinearSVM(Method):
    """One phase, solved at once; weights are buffers, and prediction is plain torch."""

    Config = LinearSVMConfig
    paper = "Cortes and Vapnik, Support-vector networks, Machine Learning 1995"
    config: LinearSVMConfig
    mean: Tensor  # (D,)
    spread: Tensor  # (D,)
    weight: Tensor  # (C, D)
    bias: Tensor  # (C,)

    def __init__(self, config: LinearSVMConfig, classes: Sequence[str]) -> None:
        if config.features == "hog" and config.input_px < BLOCK * config.cell_px:
            raise MienError(
                f"methods.linear_svm.input_px: {config.input_px} holds no block of {BLOCK} x {BLOCK} cells "
                f"of {config.cell_px} px; make it at least {BLOCK * config.cell_px}."
            )
        super().__init__(config, classes)
        self.input_px = config.input_px
        self.needs = frozenset({"label", "points" if config.features == "landmarks" else "faces"})
        sizes = {"landmarks": 136, "pixels": config.input_px**2}
        size = sizes.get(config.features) or hog_size(config.input_px, config.cell_px)
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("spread", torch.ones(size))
        self.register_buffer("weight", torch.zeros(len(classes), size))
        self.register_buffer("bias", torch.zeros(len(classes)))

    def phases(self) -> Sequence[Phase]:
        """One phase without gradients."""
        return (Phase("fit", epochs=1, batch_size=1, fits=True),)

    def fit(self, batches: Iterable[Batch], phase: Phase) -> None:
        """Solve, with a fixed seed. MienError: a class has no training face."""
        parts = [(self._features(batch).cpu().numpy(), batch.label.cpu().numpy()) for batch in batches]
        features = np.concatenate([f for f, _ in parts]).astype(np.float64)
        label = np.concatenate([y for _, y in parts])
        lacking = sorted(set(range(len(self.classes))) - set(label.tolist()))
        if lacking:
            raise MienError(
                f"linear_svm: no training face shows {self.classes[lacking[0]]}; make fewer folds."
            )
        mean, spread = features.mean(axis=0), features.std(axis=0) + 1e-6
        if self.config.features == "hog":
            mean, spread = np.zeros_like(mean), np.ones_like(spread)
        c = self.config
        solver = LinearSVC(C=c.C, dual="auto", random_state=0, max_iter=c.max_iterations)
        solver.fit((features - mean) / spread, label)
        self.mean.copy_(torch.from_numpy(mean))
        self.spread.copy_(torch.from_numpy(spread))
        two = len(self.classes) == 2  # liblinear then has one row, positive for the second class
        weight, bias = solver.coef_, solver.intercept_
        self.weight.copy_(torch.from_numpy(np.concatenate([-weight, weight]) if two else weight))
        self.bias.copy_(torch.from_numpy(np.concatenate([-bias, bias]) if two else bias))

    def predict(self, batch: Batch) -> Tensor:
        """Softmax of the decision values (N, C); not calibrated."""
        standard = (self._features(batch) - self.mean) / self.spread
        return (standard @ self.weight.T + self.bias).softmax(dim=1)

    def record(self) -> dict[str, Any]:
        """What it looks at."""
        return {"features": self.config.features}

    def _features(self, batch: Batch) -> Tensor:
        c = self.config
        if c.features != "landmarks":
            grey = grey_pixels(batch.faces, c.input_px, c.window)
            return hog(grey, c.cell_px) if c.features == "hog" else grey.flatten(1).float()
        if batch.points is None:
            raise MienError(
                "linear_svm: features: landmarks needs 68 points a face, and this corpus has none."
            )
        return eye_aligned(batch.points)
