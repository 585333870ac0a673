"""Deep SVDD: a network without biases that draws the normal class together round a fixed centre.

Ruff et al., *Deep One-Class Classification*, ICML 2018 (one-class objective). An auto-encoder is trained
first and its encoder kept; the centre is the mean of the encoder's outputs over the training part; then the
squared distance to it is minimised, and is the score. A constant network would reach 0, and the remedies are:
no bias anywhere, unbounded activations, a centre that is held and kept off 0.

*Differs from the paper*: at 224 px five blocks (32-64-128-128-128) instead of three at 32 px, and where the
code would cut the code vector into a map, a linear layer spreads it if its length does not fit the map. A
centre entry of exactly 0 goes to +0.1 (the authors' code leaves it at 0). The soft-boundary objective is left
out. Each learning rate drops after an epoch's optimiser steps, not before them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import leaky_relu
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import MultiStepLR

from mien.config import Section
from mien.methods.contract import Method, Phase, Schedule
from mien.parts.pictures import contrast_normalise, resize
from mien.shards.batch import Batch

ROUNDING = 1e-3  # of a resize, in 0..255
BN_EPSILON = 1e-4
LEAK = 0.01


class DeepSVDDConfig(Section):
    """Settings of `methods.deep_svdd`."""

    input_px: int = Field(224, ge=8)
    window: float = Field(1.0, gt=0.2, le=1)  # share of the crop's side that it looks at
    channels: list[int] = Field([32, 64, 128, 128, 128], min_length=1)  # each block halves the side
    code: int = Field(128, ge=1)
    centre_off_zero: float = Field(0.1, ge=0)  # least absolute value of a centre's entry
    bias: bool = False  # True only to see it collapse
    batch_size: int = Field(200, ge=2)
    autoencoder_epochs: int = Field(350, ge=1)
    autoencoder_drop_epoch: int = Field(250, ge=1)  # the learning rate is a tenth from then on
    svdd_epochs: int = Field(150, ge=1)
    svdd_drop_epoch: int = Field(50, ge=1)
    learning_rate: float = Field(1e-4, gt=0)
    weight_decay: float = Field(0.5e-6, ge=0)

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.input_px % 2 ** len(self.channels):
            raise ValueError(f"input_px must be a multiple of {2 ** len(self.channels)}, 2 to the blocks")
        return self


def off_zero(centre: Tensor, least: float) -> Tensor:
    """Move each entry closer to 0 than `least` out to -least or, from 0 on, +least. (D,) -> (D,)."""
    outwards = torch.where(centre < 0, -least, least)
    return torch.where(centre.abs() < least, outwards, centre)


def distance(code: Tensor, centre: Tensor) -> Tensor:
    """Squared distance to the centre: code (N, D), centre (D,) -> (N,). Its mean is eq. 4 without decay."""
    return (code - centre).square().sum(dim=1)


def reconstruction(pixels: Tensor, again: Tensor) -> Tensor:
    """Squared error summed over a face: (N, C, H, W) twice -> (N,)."""
    return (pixels - again).square().flatten(1).sum(dim=1)


def convolution(inputs: int, outputs: int, bias: bool, up: bool = False) -> nn.Module:
    """A 5x5 layer that keeps the side, in Xavier's initialisation for leaky ReLU."""
    layer = (nn.ConvTranspose2d if up else nn.Conv2d)(inputs, outputs, 5, padding=2, bias=bias)
    nn.init.xavier_uniform_(layer.weight, gain=nn.init.calculate_gain("leaky_relu", LEAK))
    return layer


class Encoder(nn.Module):
    """Blocks of convolution, batch norm without scale and shift, leaky ReLU and pooling; then the code."""

    def __init__(self, config: DeepSVDDConfig) -> None:
        super().__init__()
        sizes, side = (3, *config.channels), config.input_px // 2 ** len(config.channels)
        self.convolutions = nn.ModuleList(convolution(a, b, config.bias) for a, b in pairwise(sizes))
        self.norms = nn.ModuleList(nn.BatchNorm2d(c, eps=BN_EPSILON, affine=False) for c in config.channels)
        self.pool = nn.MaxPool2d(2)
        self.to_code = nn.Linear(sizes[-1] * side**2, config.code, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, code)."""
        for layer, norm in zip(self.convolutions, self.norms, strict=True):
            x = self.pool(leaky_relu(norm(layer(x)), LEAK))
        code: Tensor = self.to_code(x.flatten(1))
        return code


class Decoder(nn.Module):
    """The encoder backwards, doubling the side by nearest neighbour; values in 0..1."""

    def __init__(self, config: DeepSVDDConfig) -> None:
        super().__init__()
        widest, self.side = config.channels[-1], config.input_px // 2 ** len(config.channels)
        self.norm = nn.BatchNorm1d(config.code, eps=BN_EPSILON, affine=False)
        cut = config.code % self.side**2 == 0  # the code is a map already, if a thin one
        sizes = (*config.channels[::-1], 3)
        self.spread: nn.Module = (
            nn.Identity() if cut else nn.Linear(config.code, widest * self.side**2, bias=False)
        )
        self.first: nn.Module = (
            nn.Sequential(
                convolution(config.code // self.side**2, widest, bias=False, up=True),
                nn.BatchNorm2d(widest, eps=BN_EPSILON, affine=False),
                nn.LeakyReLU(LEAK),
            )
            if cut
            else nn.Identity()
        )
        self.enlarge = nn.Upsample(scale_factor=2)
        self.convolutions = nn.ModuleList(convolution(a, b, bias=False, up=True) for a, b in pairwise(sizes))
        self.norms = nn.ModuleList(nn.BatchNorm2d(c, eps=BN_EPSILON, affine=False) for c in sizes[1:-1])

    def forward(self, code: Tensor) -> Tensor:
        """(N, code) -> (N, 3, H, W)."""
        x = self.spread(self.norm(code))
        x = self.first(leaky_relu(x.view(len(x), -1, self.side, self.side), LEAK))
        for layer, norm in zip(self.convolutions[:-1], self.norms, strict=True):
            x = leaky_relu(norm(layer(self.enlarge(x))), LEAK)
        return torch.sigmoid(self.convolutions[-1](self.enlarge(x)))


class DeepSVDD(Method):
    """Two phases, `autoencoder` and `svdd`; range of the pixels and centre are buffers."""

    Config = DeepSVDDConfig
    paper = "Ruff et al., Deep One-Class Classification, ICML 2018"
    needs = frozenset({"faces"})
    scores = ("distance",)
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "64": {"input_px": 64, "channels": [32, 64, 128, 128]},
        "32": {"input_px": 32, "channels": [32, 64, 128]},
    }
    config: DeepSVDDConfig
    low: Tensor  # () least value of the training part, after contrast normalisation
    span: Tensor  # ()
    centre: Tensor  # (code,)

    def __init__(self, config: DeepSVDDConfig, classes: Sequence[str]) -> None:
        super().__init__(config, classes)
        self.input_px = config.input_px
        self.encoder = Encoder(config)
        self.decoder: nn.Module | None = None
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("span", torch.ones(()))
        self.register_buffer("centre", torch.zeros(config.code))

    def phases(self) -> Sequence[Phase]:
        """The auto-encoder, then the ball."""
        c = self.config
        return (
            Phase("autoencoder", epochs=c.autoencoder_epochs, batch_size=c.batch_size),
            Phase("svdd", epochs=c.svdd_epochs, batch_size=c.batch_size),
        )

    def start(self, phase: Phase, labels: int) -> None:
        """A decoder for the auto-encoder."""
        if phase.name == "autoencoder":
            self.decoder = Decoder(self.config)

    def finish(self, phase: Phase) -> None:
        """Only the encoder goes on."""
        self.decoder = None

    def refresh(self, batches: Callable[[], Iterable[Batch]], phase: Phase, epoch: int) -> None:
        """Before the first epoch of each phase: the range of the pixels, and the centre."""
        if epoch:
            return
        if phase.name == "autoencoder":
            ends = [torch.stack(torch.aminmax(self._contrast(batch.faces))) for batch in batches()]
            low, high = torch.stack(ends)[:, 0].min(), torch.stack(ends)[:, 1].max()
            self.low.copy_(low)
            self.span.copy_((high - low).clamp(min=ROUNDING))
        else:
            codes = torch.cat([self.encoder(self._scaled(batch.faces)) for batch in batches()])
            self.centre.copy_(off_zero(codes.mean(dim=0), self.config.centre_off_zero))

    def moved_by(self, phase: Phase, turn: str) -> Iterable[nn.Parameter]:
        """The encoder, and the decoder while there is one."""
        return [*self.encoder.parameters(), *(self.decoder.parameters() if self.decoder else ())]

    def optimizer(self, phase: Phase, turn: str) -> Optimizer:
        """Adam with the published decay."""
        c = self.config
        return Adam(self.moved_by(phase, turn), lr=c.learning_rate, weight_decay=c.weight_decay)

    def schedule(self, phase: Phase, turn: str, optimizer: Optimizer) -> Schedule | None:
        """A tenth from the phase's drop epoch on."""
        c = self.config
        drop = c.autoencoder_drop_epoch if phase.name == "autoencoder" else c.svdd_drop_epoch
        return MultiStepLR(optimizer, milestones=[drop], gamma=0.1)

    def forward(self, batch: Batch, phase: Phase, turn: str) -> dict[str, Tensor]:
        """Reconstruction in the first phase, distance to the centre in the second; means over the batch."""
        pixels = self._scaled(batch.faces)
        code = self.encoder(pixels)
        if self.decoder is not None:
            return {"reconstruction": reconstruction(pixels, self.decoder(code)).mean()}
        return {"distance": distance(code.float(), self.centre).mean()}

    def predict(self, batch: Batch) -> Tensor:
        """Squared distance to the centre (N, 1)."""
        return distance(self.encoder(self._scaled(batch.faces)).float(), self.centre)[:, None]

    def record(self) -> dict[str, Any]:
        """How far the centre is from 0, and how many of its entries sit at the least distance."""
        least = self.config.centre_off_zero
        return {
            "input_px": self.input_px,
            "centre_length": float(self.centre.norm()),
            "centre_entries_pushed_off_zero": int((self.centre.abs() == least).sum()),
        }

    def _contrast(self, faces: Tensor) -> Tensor:
        return contrast_normalise(resize(faces, self.input_px, self.config.window), ROUNDING)

    def _scaled(self, faces: Tensor) -> Tensor:
        return (self._contrast(faces) - self.low) / self.span
