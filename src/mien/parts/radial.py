"""The quadratic form of radial metric learning, and the hinges round it (IDFERM eq. 8 to 16).

Sign: the paper sets H = S - D with A positive and B negative semi-definite. Taken literally the pull term
drives a query away from its centre. The form that it takes over (Li et al., *Learning Locally-Adaptive
Decision Functions*, CVPR 2013) is D - S, so here Q = D - S and H = -Q.
"""

import torch
from torch import Tensor, nn

START = -2.0  # b: thresholds 1 inside and 3 outside


class Quadratic(nn.Module):
    """Q(f1, f2) = |L_A f1|^2 / 2 + |L_A f2|^2 / 2 - <L_B f1, L_B f2> + c'(f1 + f2) + b; it may be negative.

    One layer holds L_A, L_B and c, so A = L_A'L_A is positive and B = -L_B'L_B negative semi-definite.
    `evaluations` counts the pairs of the last use; whoever starts a new count sets it to 0.
    """

    def __init__(self, size: int, rank: int) -> None:
        super().__init__()
        self.rank, self.evaluations = rank, 0
        self.factors = nn.Linear(size, 2 * rank + 1, bias=False)
        self.threshold = nn.Parameter(torch.tensor(START))  # b
        with torch.no_grad():
            rows = nn.init.orthogonal_(torch.empty(rank, size))
            self.factors.weight.copy_(torch.cat([rows, rows, torch.zeros(1, size)]))

    def forward(self, f1: Tensor, f2: Tensor) -> Tensor:
        """f1, f2 (N, D) -> Q (N,)."""
        self.evaluations += len(f1)
        a1, b1, c1 = self.factors(f1).split([self.rank, self.rank, 1], dim=1)
        a2, b2, c2 = self.factors(f2).split([self.rank, self.rank, 1], dim=1)
        own = (a1.square().sum(dim=1) + a2.square().sum(dim=1)) / 2
        q: Tensor = own - (b1 * b2).sum(dim=1) + (c1 + c2)[:, 0] + self.threshold
        return q


def pull(q: Tensor) -> Tensor:
    """What a pair that belongs together still costs: max(0, 1 - H) with H = -Q (eq. 15), (N,) -> (N,)."""
    return (1 + q).clamp(min=0)


def push(q: Tensor) -> Tensor:
    """What a pair that must be apart still costs: max(0, 1 + H) with H = -Q (eq. 15), (N,) -> (N,)."""
    return (1 - q).clamp(min=0)


def class_centres(features: Tensor, label: Tensor, classes: int) -> Tensor:
    """Mean features of each class in the batch, gradients through; zeros where a class has none.

    features (N, D), label (N,) with -1 for faces of no class -> (classes, D).
    """
    known = (label >= 0).to(features.dtype)
    member = torch.nn.functional.one_hot(label.clamp(min=0), classes).to(features.dtype) * known[:, None]
    return (member.T @ features) / member.sum(dim=0).clamp(min=1)[:, None]
