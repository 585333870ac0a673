"""The one-class SVM with an RBF kernel on principal components.

Schölkopf, Platt, Shawe-Taylor, Smola and Williamson, *Estimating the Support of a High-Dimensional
Distribution*, Neural Computation 2001. Solved by libsvm (scikit-learn's OneClassSVM); the score is the
negative decision value, rho - sum_i a_i K(x_i, x).

*Differs from the paper*: the features are contrast-normalised RGB faces, projected on the principal
components that hold 95 % of the training part's variance, as Ruff et al. (ICML 2018) do for this baseline.
They choose the kernel's width on a tenth of the test part, aliens and all; here it is 1 / (D * variance).
nu is 0.1.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from pydantic import Field
from sklearn.svm import OneClassSVM
from torch import Tensor

from mien.config import Section
from mien.methods.contract import Method, Phase
from mien.parts.kernels import Expansion, Gamma, gamma_of
from mien.parts.vectors import Principal, contrast_vectors, gather
from mien.shards.batch import Batch


class OneClassKernelSVMConfig(Section):
    """Settings of `methods.oc_svm_kernel`."""

    input_px: int = Field(64, ge=4)
    window: float = Field(1.0, gt=0.2, le=1)  # share of the crop's side that it looks at
    nu: float = Field(0.1, gt=0, le=1)
    gamma: Gamma = "scale"  # scale: 1 / (D * variance); median: 4.5 / median distance^2
    variance: float = Field(0.95, gt=0, lt=1)  # share that the principal components hold
    max_faces: int = Field(5000, ge=1)  # training faces beyond that are drawn by their seeds


class KernelOneClassSVM(Method):
    """One phase, solved at once; support vectors are buffers, and prediction is plain torch."""

    Config = OneClassKernelSVMConfig
    paper = "Schölkopf et al., Estimating the Support of a High-Dimensional Distribution, NC 2001"
    needs = frozenset({"faces"})
    scores = ("outside",)
    config: OneClassKernelSVMConfig
    rho: Tensor  # ()
    faces: Tensor  # ()

    def __init__(self, config: OneClassKernelSVMConfig, classes: Sequence[str]) -> None:
        super().__init__(config, classes)
        self.input_px = config.input_px
        self.project = Principal(3 * config.input_px**2)
        self.expansion = Expansion("rbf")
        self.register_buffer("rho", torch.zeros(()))
        self.register_buffer("faces", torch.zeros((), dtype=torch.int64))

    def phases(self) -> Sequence[Phase]:
        """One phase without gradients."""
        return (Phase("fit", epochs=1, batch_size=1, fits=True),)

    def fit(self, batches: Iterable[Batch], phase: Phase) -> None:
        """Solve. MienError: a face whose vector cannot be used, or faces that are all alike."""
        c = self.config
        vectors = self.project.solve(gather(batches, self._vectors, c.max_faces, "oc_svm_kernel"), c.variance)
        gamma = gamma_of(c.gamma, vectors)
        solver = OneClassSVM(kernel="rbf", nu=c.nu, gamma=gamma, tol=1e-8).fit(vectors)
        self.expansion.keep(vectors=solver.support_vectors_, weights=solver.dual_coef_[0], gamma=gamma)
        self.rho.fill_(-float(solver.intercept_[0]))
        self.faces.fill_(len(vectors))

    def predict(self, batch: Batch) -> Tensor:
        """rho - sum_i a_i K(x_i, x), (N, 1): positive outside the support."""
        outside: Tensor = self.rho - self.expansion(self.project(self._vectors(batch.faces)))
        return outside[:, None].float()

    def record(self) -> dict[str, Any]:
        """The kernel's width in use, and how many faces, components and support vectors there are."""
        return {
            "faces": int(self.faces),
            "components": len(self.project.components),
            "support_vectors": len(self.expansion.weights),
            "gamma": float(self.expansion.gamma),
            "nu": self.config.nu,
        }

    def _vectors(self, faces: Tensor) -> Tensor:
        return contrast_vectors(faces, self.input_px, self.config.window)
