"""SVDD with a kernel on principal components: the smallest soft ball in the kernel's space.

Tax and Duin, *Support Vector Data Description*, Machine Learning 2004; the score is the squared distance to
the ball's centre, K(x, x) - 2 sum_i a_i K(x, x_i) + a'Ka.

With an RBF kernel K(x, x) = 1, the dual is the one-class SVM's, and at equal nu and gamma the two rank all
faces alike: a theorem, and a test here. Where a table has different numbers for them, the settings differ;
ours takes gamma from the median distance of the training faces, `oc_svm_kernel` from their variance.

*Differs from the paper*: C is given as 1 / (nu n). The features are contrast-normalised RGB faces, projected
on the principal components that hold 95 % of the training part's variance.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from mien.config import Section
from mien.methods.contract import Method, Phase
from mien.parts.ball import bound, solve_ball
from mien.parts.kernels import Expansion, Gamma, KernelName, gamma_of, kernel, own_kernel
from mien.parts.vectors import Principal, contrast_vectors, gather
from mien.shards.batch import Batch


class KernelSVDDConfig(Section):
    """Settings of `methods.svdd_kernel`."""

    input_px: int = Field(64, ge=4)
    window: float = Field(1.0, gt=0.2, le=1)  # share of the crop's side that it looks at
    nu: float = Field(0.1, gt=0, le=1)
    kernel: KernelName = "rbf"  # poly: (gamma x'y + 1)^3, an extra
    gamma: Gamma = "median"  # median: 4.5 / median distance^2; scale: 1 / (D * variance)
    variance: float = Field(0.95, gt=0, lt=1)  # share that the principal components hold
    max_faces: int = Field(5000, ge=1)  # training faces beyond that are drawn by their seeds


class KernelSVDD(Method):
    """One phase, solved at once; support vectors are buffers, and prediction is plain torch."""

    Config = KernelSVDDConfig
    paper = "Tax and Duin, Support Vector Data Description, Machine Learning 2004"
    needs = frozenset({"faces"})
    scores = ("distance",)
    config: KernelSVDDConfig
    within: Tensor  # () a'Ka
    radius2: Tensor  # ()
    faces: Tensor  # ()

    def __init__(self, config: KernelSVDDConfig, classes: Sequence[str]) -> None:
        super().__init__(config, classes)
        self.input_px = config.input_px
        self.project = Principal(3 * config.input_px**2)
        self.expansion = Expansion(config.kernel)
        self.register_buffer("within", torch.zeros(()))
        self.register_buffer("radius2", torch.zeros(()))
        self.register_buffer("faces", torch.zeros((), dtype=torch.int64))

    def phases(self) -> Sequence[Phase]:
        """One phase without gradients."""
        return (Phase("fit", epochs=1, batch_size=1, fits=True),)

    def fit(self, batches: Iterable[Batch], phase: Phase) -> None:
        """Solve. MienError: a face whose vector cannot be used, or faces that are all alike."""
        c = self.config
        vectors = self.project.solve(gather(batches, self._vectors, c.max_faces, "svdd_kernel"), c.variance)
        gamma, points = gamma_of(c.gamma, vectors), torch.from_numpy(vectors)
        gram = kernel(points, points, c.kernel, torch.tensor(gamma, dtype=torch.float64))
        ball = solve_ball(gram.numpy(), bound(c.nu, len(vectors)))
        held = ball.weights > 0
        self.expansion.keep(vectors=vectors[held], weights=ball.weights[held], gamma=gamma)
        self.within.fill_(ball.within)
        self.radius2.fill_(ball.radius2)
        self.faces.fill_(len(vectors))

    def predict(self, batch: Batch) -> Tensor:
        """K(x, x) - 2 sum_i a_i K(x, x_i) + a'Ka, (N, 1)."""
        x = self.project(self._vectors(batch.faces))
        own = own_kernel(x, self.config.kernel, self.expansion.gamma)
        distance: Tensor = own - 2 * self.expansion(x) + self.within
        return distance[:, None].float()

    def record(self) -> dict[str, Any]:
        """The kernel in use, how many faces, components and support vectors there are, the ball's size."""
        return {
            "faces": int(self.faces),
            "components": len(self.project.components),
            "support_vectors": len(self.expansion.weights),
            "kernel": self.config.kernel,
            "gamma": float(self.expansion.gamma),
            "radius2": float(self.radius2),
            "nu": self.config.nu,
        }

    def _vectors(self, faces: Tensor) -> Tensor:
        return contrast_vectors(faces, self.input_px, self.config.window)
