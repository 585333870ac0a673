"""HRN: a bias-free perceptron told that every face it sees is normal, held by the norm of its own gradient.

Hu, Wang, Qin, Ma and Liu, *HRN: A Holistic Approach to One Class Learning*, NeurIPS 2020. The logit f is
pushed up by a log-likelihood, and the twelfth power of |df/dx| at the training faces keeps it from growing
without end; the alien score is -f.

*Differs from the paper*: faces of 32 px go through its CIFAR network, a first layer for each channel. The
gradient's norm is taken over the whole face, as the paper defines it; the authors' CIFAR code takes it
over the three channels of each pixel (`hreg_norm: per_pixel`), where the twelfth power is about 1e-10 and the
penalty does nothing. Gradients are clipped at norm 10, as a rate of 0.1 under a twelfth power may blow up.
The weights are those of the last epoch, not of the best on the test part. No 0.006 is added to the input.
The published start of 0.001 is nearly a saddle: a hundred steps on few faces hardly leave it, and a start of
0.03 does (digits: AUC 0.86 and 0.97).
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import leaky_relu
from torch.nn.utils import clip_grad_norm_
from torch.optim import SGD, Optimizer

from mien.config import Section
from mien.methods.contract import Method, Phase
from mien.parts.pictures import resize
from mien.shards.batch import Batch

LEAK = 0.01
FLOOR = 0.01  # under the logarithm: a face's loss stays below -log 0.01 = 4.61
DARK = 1e-3  # a black face has no norm to divide by


class HRNConfig(Section):
    """Settings of `methods.hrn`."""

    input_px: int = Field(32, ge=4)
    window: float = Field(1.0, gt=0.2, le=1)  # share of the crop's side that it looks at
    network: Literal["channels", "flat"] = "channels"  # the paper's CIFAR network, or its MNIST network
    units: int = Field(300, ge=1)  # of each hidden layer; flat: 100
    start: float = Field(0.001, gt=0)  # weights begin uniform within plus and minus; flat: 0.0224
    penalty: float = Field(0.1, ge=0)  # lambda
    power: int = Field(12, ge=1)  # n
    hreg_norm: Literal["per_sample", "per_pixel"] = "per_sample"
    batch_size: int = Field(100, ge=1)
    epochs: int = Field(50, ge=1)
    learning_rate: float = Field(0.1, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    clip_norm: float = Field(10.0, gt=0)


def likelihood(logit: Tensor) -> Tensor:
    """-log(sigmoid(f) + 0.01), within -0.01 and 4.61: the first term of eq. 3. (N,) -> (N,)."""
    return -(torch.sigmoid(logit) + FLOOR).log()


def holistic(gradient: Tensor, power: int, per_pixel: bool = False) -> Tensor:
    """|df/dx|^n a face (H-regularisation, eq. 3): gradient (N, C, P) -> (N,).

    per_pixel: the norm runs over the channels alone, and powers are averaged over the pixels.
    """
    squared = gradient.square().sum(dim=1)  # (N, P); even powers need no root, whose slope at 0 is infinite
    if per_pixel:
        return squared.pow(power / 2).mean(dim=1)
    return squared.sum(dim=1).pow(power / 2)


def unit_and_centred(pixels: Tensor) -> Tensor:
    """Divide each face by its own length, then take its own mean away: (N, C, H, W) 0..1 -> (N, C, H * W)."""
    length = pixels.square().sum(dim=(1, 2, 3), keepdim=True).sqrt()
    unit = pixels / length.clamp(min=DARK)
    return (unit - unit.mean(dim=(1, 2, 3), keepdim=True)).flatten(2)


class Perceptron(nn.Module):
    """Bias-free layers with leaky ReLU between them: f(ax) = af(x) for a > 0, and f(x) = <df/dx, x>.

    The gradient is written out layer by layer, so that its penalty costs no second derivative.
    """

    def __init__(self, config: HRNConfig) -> None:
        super().__init__()
        pixels, units = config.input_px**2, config.units
        self.own_channel = config.network == "channels"
        first = (3, pixels, units) if self.own_channel else (1, 3 * pixels, units)
        self.first = nn.Parameter(torch.empty(first))
        self.second = nn.Parameter(torch.empty(3 * units, units)) if self.own_channel else None
        self.last = nn.Parameter(torch.empty(units))
        for weight in self.parameters():
            nn.init.uniform_(weight, -config.start, config.start)

    def forward(self, x: Tensor) -> Tensor:
        """x (N, 3, P) -> logit (N,)."""
        return self._layers(x)[2]

    def with_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (N, 3, P) -> logit (N,) and its gradient (N, 3, P)."""
        before, deep, logit = self._layers(x)
        back = self.last[None]
        if self.second is not None:
            back = (_slope(deep) * self.last) @ self.second.T
        inwards = _slope(before) * back.expand(len(x), -1).view_as(before)
        return logit, torch.einsum("ncu,cpu->ncp", inwards, self.first).reshape(x.shape)

    def _layers(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What enters the first leaky ReLU (N, C, units) and the last one (N, units), and the logit (N,)."""
        rows = x if self.own_channel else x.flatten(1)[:, None]
        before = torch.einsum("ncp,cpu->ncu", rows, self.first)
        deep = before.flatten(1) if self.second is None else leaky_relu(before, LEAK).flatten(1) @ self.second
        return before, deep, leaky_relu(deep, LEAK) @ self.last


def _slope(before: Tensor) -> Tensor:
    """The derivative of leaky ReLU, which itself has none."""
    return torch.ones_like(before).masked_fill(before <= 0, LEAK)


class HRN(Method):
    """One phase of plain descent."""

    Config = HRNConfig
    paper = "Hu et al., HRN: A Holistic Approach to One Class Learning, NeurIPS 2020"
    needs = frozenset({"faces"})
    scores = ("minus_logit",)
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "64": {"input_px": 64},
        "flat": {"network": "flat", "units": 100, "start": 2000**-0.5},
    }
    config: HRNConfig

    def __init__(self, config: HRNConfig, classes: Sequence[str]) -> None:
        super().__init__(config, classes)
        self.input_px = config.input_px
        self.perceptron = Perceptron(config)

    def phases(self) -> Sequence[Phase]:
        """One."""
        return (Phase("one_class", epochs=self.config.epochs, batch_size=self.config.batch_size),)

    def optimizer(self, phase: Phase, turn: str) -> Optimizer:
        """SGD that clips the gradient of the whole batch, after the ranks have averaged theirs."""
        c = self.config
        optimizer = SGD(self.moved_by(phase, turn), lr=c.learning_rate, momentum=c.momentum)
        parameters = list(self.moved_by(phase, turn))
        optimizer.register_step_pre_hook(lambda *_: _clip(parameters, c.clip_norm))
        return optimizer

    def forward(self, batch: Batch, phase: Phase, turn: str) -> dict[str, Tensor]:
        """Likelihood and H-regularisation, means over the batch."""
        c = self.config
        logit, gradient = self.perceptron.with_gradient(self._input(batch.faces))
        penalty = holistic(gradient.float(), c.power, c.hreg_norm == "per_pixel")
        return {
            "likelihood": likelihood(logit.float()).mean(),
            "h_regularisation": c.penalty * penalty.mean(),
        }

    def predict(self, batch: Batch) -> Tensor:
        """-f (N, 1)."""
        logit: Tensor = self.perceptron(self._input(batch.faces))
        return -logit.float()[:, None]

    def record(self) -> dict[str, Any]:
        """Which norm the penalty takes."""
        return {"input_px": self.input_px, "network": self.config.network, "hreg_norm": self.config.hreg_norm}

    def _input(self, faces: Tensor) -> Tensor:
        return unit_and_centred(resize(faces, self.input_px, self.config.window) / 255)


def _clip(parameters: Sequence[nn.Parameter], norm: float) -> None:
    clip_grad_norm_(parameters, norm)
