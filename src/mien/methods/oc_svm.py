"""The linear one-class SVM: a hyperplane between the origin and most training faces.

Schölkopf, Platt, Shawe-Taylor, Smola and Williamson, *Estimating the Support of a High-Dimensional
Distribution*, Neural Computation 2001: at most a share `nu` of the training faces lies beyond the plane, and
at least as many are support vectors. Solved by libsvm (scikit-learn's OneClassSVM); the score is the negative
decision value, rho - w'x.

*Differs from the paper*: the features are contrast-normalised RGB faces, brought into [0, 1] by the least and
the greatest value of the training part. They are not centred: a plane away from the origin needs a cloud away
from the origin. nu is 0.1, as nobody gives one for faces.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from pydantic import Field
from sklearn.svm import OneClassSVM
from torch import Tensor

from mien.config import Section
from mien.methods.contract import Method, Phase
from mien.parts.vectors import contrast_vectors, gather
from mien.shards.batch import Batch


class OneClassSVMConfig(Section):
    """Settings of `methods.oc_svm`."""

    input_px: int = Field(64, ge=4)
    window: float = Field(1.0, gt=0.2, le=1)  # share of the crop's side that it looks at
    nu: float = Field(0.1, gt=0, le=1)
    max_faces: int = Field(5000, ge=1)  # training faces beyond that are drawn by their seeds


class LinearOneClassSVM(Method):
    """One phase, solved at once; the plane is a buffer, and prediction is plain torch."""

    Config = OneClassSVMConfig
    paper = "Schölkopf et al., Estimating the Support of a High-Dimensional Distribution, NC 2001"
    needs = frozenset({"faces"})
    scores = ("beyond_plane",)
    config: OneClassSVMConfig
    low: Tensor  # ()
    span: Tensor  # ()
    weight: Tensor  # (D,)
    rho: Tensor  # ()
    faces: Tensor  # ()
    supported: Tensor  # ()

    def __init__(self, config: OneClassSVMConfig, classes: Sequence[str]) -> None:
        super().__init__(config, classes)
        self.input_px = config.input_px
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("span", torch.ones(()))
        self.register_buffer("weight", torch.zeros(3 * config.input_px**2))
        self.register_buffer("rho", torch.zeros(()))
        self.register_buffer("faces", torch.zeros((), dtype=torch.int64))
        self.register_buffer("supported", torch.zeros((), dtype=torch.int64))

    def phases(self) -> Sequence[Phase]:
        """One phase without gradients."""
        return (Phase("fit", epochs=1, batch_size=1, fits=True),)

    def fit(self, batches: Iterable[Batch], phase: Phase) -> None:
        """Solve. MienError: a face whose vector cannot be used, or faces that are all alike."""
        vectors = gather(batches, self._vectors, self.config.max_faces, "oc_svm")
        low, span = vectors.min(), vectors.max() - vectors.min()
        solver = OneClassSVM(kernel="linear", nu=self.config.nu, tol=1e-6).fit((vectors - low) / span)
        self.low.fill_(float(low))
        self.span.fill_(float(span))
        self.weight.copy_(torch.tensor(solver.coef_[0]))
        self.rho.fill_(-float(solver.intercept_[0]))
        self.faces.fill_(len(vectors))
        self.supported.fill_(len(solver.support_))

    def predict(self, batch: Batch) -> Tensor:
        """rho - w'x (N, 1): positive beyond the plane, on the origin's side."""
        scaled = ((self._vectors(batch.faces) - self.low) / self.span).double()  # rho and w'x nearly cancel
        return (self.rho - scaled @ self.weight.double()).float()[:, None]

    def record(self) -> dict[str, Any]:
        """How many faces it was solved on, and how many of them hold the plane."""
        return {"faces": int(self.faces), "support_vectors": int(self.supported), "nu": self.config.nu}

    def _vectors(self, faces: Tensor) -> Tensor:
        return contrast_vectors(faces, self.input_px, self.config.window)
