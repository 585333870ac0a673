"""Linear SVDD: the smallest ball, with slack, round the training faces.

Tax and Duin, *Support Vector Data Description*, Machine Learning 2004; the score is the squared distance to
the ball's centre, which is a mixture of the training faces on the surface and beyond.

*Differs from the paper*: C is given as 1 / (nu n), so that at most a share `nu` lies outside; beyond C = 1
the ball is a hard one (Chang, Lee and Lin 2013). The features are contrast-normalised RGB faces; they need no
centring, as the score does not feel a shift. Solved by sequential minimal optimisation of the dual, our own:
no library in the lock has a QP solver.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from mien.config import Section
from mien.methods.contract import Method, Phase
from mien.parts.ball import bound, solve_ball
from mien.parts.vectors import contrast_vectors, gather
from mien.shards.batch import Batch


class SVDDConfig(Section):
    """Settings of `methods.svdd`."""

    input_px: int = Field(64, ge=4)
    window: float = Field(1.0, gt=0.2, le=1)  # share of the crop's side that it looks at
    nu: float = Field(0.1, gt=0, le=1)
    max_faces: int = Field(5000, ge=1)  # training faces beyond that are drawn by their seeds


class SVDD(Method):
    """One phase, solved at once; the centre is a buffer, and prediction is plain torch."""

    Config = SVDDConfig
    paper = "Tax and Duin, Support Vector Data Description, Machine Learning 2004"
    needs = frozenset({"faces"})
    scores = ("distance",)
    config: SVDDConfig
    centre: Tensor  # (D,)
    radius2: Tensor  # ()
    faces: Tensor  # ()
    supported: Tensor  # ()

    def __init__(self, config: SVDDConfig, classes: Sequence[str]) -> None:
        super().__init__(config, classes)
        self.input_px = config.input_px
        self.register_buffer("centre", torch.zeros(3 * config.input_px**2))
        self.register_buffer("radius2", torch.zeros(()))
        self.register_buffer("faces", torch.zeros((), dtype=torch.int64))
        self.register_buffer("supported", torch.zeros((), dtype=torch.int64))

    def phases(self) -> Sequence[Phase]:
        """One phase without gradients."""
        return (Phase("fit", epochs=1, batch_size=1, fits=True),)

    def fit(self, batches: Iterable[Batch], phase: Phase) -> None:
        """Solve. MienError: a face whose vector cannot be used, or faces that are all alike."""
        vectors = gather(batches, self._vectors, self.config.max_faces, "svdd")
        ball = solve_ball(vectors @ vectors.T, bound(self.config.nu, len(vectors)))
        self.centre.copy_(torch.from_numpy(ball.weights @ vectors))
        self.radius2.fill_(ball.radius2)
        self.faces.fill_(len(vectors))
        self.supported.fill_(int((ball.weights > 0).sum()))

    def predict(self, batch: Batch) -> Tensor:
        """|x - centre|^2 (N, 1); outside the ball it is greater than the `radius2` on record."""
        return (self._vectors(batch.faces) - self.centre).square().sum(dim=1, keepdim=True)

    def record(self) -> dict[str, Any]:
        """How many faces it was solved on, how many of them hold the ball, and the ball's size."""
        return {
            "faces": int(self.faces),
            "support_vectors": int(self.supported),
            "radius2": float(self.radius2),
            "nu": self.config.nu,
        }

    def _vectors(self, faces: Tensor) -> Tensor:
        return contrast_vectors(faces, self.input_px, self.config.window)
