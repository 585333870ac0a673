"""Kernels, and sums of kernels over support vectors, for one-class methods."""

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from mien.parts.vectors import Fitted, Vectors

KernelName = Literal["rbf", "poly"]
Gamma = Literal["scale", "median"] | float
DEGREE = 3  # of poly


def kernel(x: Tensor, y: Tensor, name: KernelName, gamma: Tensor) -> Tensor:
    """rbf: exp(-gamma |x - y|^2); poly: (gamma x'y + 1)^3. x (N, D), y (M, D) -> (N, M)."""
    if name == "poly":
        return (gamma * x @ y.T + 1) ** DEGREE
    return (-gamma * torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square()).exp()


def own_kernel(x: Tensor, name: KernelName, gamma: Tensor) -> Tensor:
    """K(x, x): (N, D) -> (N,)."""
    if name == "poly":
        return (gamma * x.square().sum(dim=1) + 1) ** DEGREE
    return x.new_ones(x.shape[0])


def gamma_of(setting: Gamma, vectors: Vectors) -> float:
    """A number as it is; scale: 1 / (D * variance); median: 1 / (2 s^2), s a third of the median distance.

    vectors (n, D). `scale` is 2 / (mean squared distance), so `median` is about twice as sharp. A spread s of
    the whole median distance, the usual heuristic, is too smooth on principal components: the score is then
    the distance to the mean, without what lies off the components (digits: AUC 0.88 instead of 0.99).
    """
    if setting == "scale":
        return float(1 / (vectors.shape[1] * vectors.var()))
    if setting == "median":
        points = torch.from_numpy(vectors)
        return float(4.5 / np.median(torch.pdist(points).numpy()) ** 2)
    return setting


class Expansion(Fitted):
    """The function sum_i a_i K(x, x_i) over support vectors x_i."""

    vectors: Tensor  # (M, D)
    weights: Tensor  # (M,)
    gamma: Tensor  # ()

    def __init__(self, name: KernelName) -> None:
        super().__init__()
        self.name: KernelName = name
        self.register_buffer("vectors", torch.zeros(0, 0))
        self.register_buffer("weights", torch.zeros(0))
        self.register_buffer("gamma", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        """(N, D) -> (N,) float64: what is left after a bias is taken off is a millionth of the terms."""
        support, gamma = self.vectors.double(), self.gamma.double()
        return kernel(x.double(), support, self.name, gamma) @ self.weights.double()
