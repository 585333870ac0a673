"""Muon: gradients with momentum, made orthogonal, so that weak directions move as far as strong ones.

Jordan et al., *Muon: An optimizer for hidden layers in neural networks* (2024). torch.optim.Muon takes no
convolutions and rounds to bfloat16; here a convolution counts as a matrix with a row an output channel, and
biases and the like move by Adam.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

QUINTIC = (3.4445, -4.7750, 2.0315)  # of the Newton-Schulz iteration
STEPS = 5  # of it: singular values end between about 0.7 and 1.2
MOMENTUM = 0.95
BETAS = (0.9, 0.999)  # of Adam


def orthogonal(matrix: Tensor) -> Tensor:
    """The nearest half-orthogonal matrix, roughly: (M, N) -> (M, N)."""
    a, b, c = QUINTIC
    wide = matrix if matrix.size(0) <= matrix.size(1) else matrix.T
    x = wide / (wide.norm() + 1e-7)
    for _ in range(STEPS):
        square = x @ x.T
        x = torch.addmm(x, torch.addmm(square, square, square, beta=b, alpha=c), x, beta=a)
    turned: Tensor = x if matrix.size(0) <= matrix.size(1) else x.T
    return turned


class Muon(Optimizer):
    """Muon at `lr` for whatever has two dimensions or more, Adam at a tenth of `lr` for the rest."""

    def __init__(self, moved: Iterable[nn.Parameter], lr: float) -> None:
        every = list(moved)
        groups: list[dict[str, Any]] = [
            {"params": [p for p in every if p.ndim > 1], "lr": lr},
            {"params": [p for p in every if p.ndim < 2], "lr": 0.1 * lr},
        ]
        super().__init__([group for group in groups if group["params"]], {"lr": lr})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    (self._turned if parameter.ndim > 1 else self._adam)(parameter, group["lr"])

    def _turned(self, parameter: Tensor, lr: float) -> None:
        assert parameter.grad is not None
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        momentum = state["momentum"]
        momentum.lerp_(parameter.grad, 1 - MOMENTUM)
        ahead = parameter.grad.lerp(momentum, MOMENTUM).flatten(1)
        longer = max(1.0, ahead.size(0) / ahead.size(1)) ** 0.5
        parameter.sub_(orthogonal(ahead).view_as(parameter), alpha=lr * longer)

    def _adam(self, parameter: Tensor, lr: float) -> None:
        assert parameter.grad is not None
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())
            state["mean"], state["square"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        state["step"] += 1
        mean, square, (one, two) = state["mean"], state["square"], BETAS
        mean.lerp_(parameter.grad, 1 - one)
        square.mul_(two).addcmul_(parameter.grad, parameter.grad, value=1 - two)
        steps = float(state["step"])
        size = (square / (1 - two**steps)).sqrt().add_(1e-8)
        parameter.addcdiv_(mean, size, value=-lr / (1 - one**steps))
