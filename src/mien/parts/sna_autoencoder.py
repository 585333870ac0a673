"""SNA's asymmetric auto-encoder and its critic: networks, settings and Loss_AE.

Paper: Fu et al., *Semantic Neighborhood-Aware Deep Facial Expression Recognition*, TIP 2020, Table I. Where
it is silent: convolutions before a batch norm have no bias; a residual block is the usual pair of 3x3
convolutions, an enlarging one has a transposed convolution first and nearest neighbours with a 1x1
convolution on its skip; linear layers have no activation. Stage o is printed with stride 2 but keeps its
side, so its stride is 1. The critic is not described. Faces are grey, in -1..1. Blocks that keep their side
start near the identity (after Goyal et al. 2017); where z starts stands in parts/sna_neighbourhood.py.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, channels_last, nn
from torch.nn.functional import interpolate, mse_loss, relu

from mien.config import Section
from mien.parts.augment import Augmentation

STRIDES = 4  # stages that halve the side
CLIP = 0.01  # of the critic's weights, as in WGAN
NEAR_IDENTITY = 0.1  # what a residual block starts with; at 0 its first layers would stand in the first step
ABOVE_ZERO = 2.0  # mean of what a rectifier is given at an unbent start, in spreads
WITHIN_TANH = 0.3  # spread of what tanh is given then


class AutoEncoding(Section):
    """How the auto-encoder is trained by itself."""

    epochs: int = Field(50, ge=1)
    batch_size: int = Field(256, ge=2)
    optimizer: Literal["sgd", "muon"] = "sgd"
    learning_rate: float = Field(1e-3, gt=0)
    schedule: Literal["tenths", "cosine"] = "tenths"  # cosine: down to 0
    decay_epochs: int = Field(10, ge=1)  # of tenths
    momentum: float = Field(0.9, ge=0, lt=1)  # of SGD
    weight_decay: float = Field(4e-4, ge=0)
    settled_epoch: int | None = Field(None, ge=1)  # from then on batch norm uses its running statistics
    dropout: float = Field(0.1, ge=0, lt=1)
    picture_weight: float = Field(4.0, ge=0)  # alpha_0; the other scales weigh 1
    targets_learn: bool = False  # the clean features get gradients too
    code: int = Field(64, ge=2)  # numbers of z
    unbent: bool = (
        False  # start where nothing bends much: for Muon, SGD at the paper's rates does not bear it
    )
    augmentation: Augmentation = Augmentation(flip=0.0, rotation_degrees=0.0)  # of both its phases


class Refinement(Section):
    """How the decoder is refined against a critic and a perceptual net."""

    epochs: int = Field(100, ge=1)
    batch_size: int = Field(64, ge=2)
    optimizer: Literal["rmsprop", "muon"] = "rmsprop"  # the critic's is RMSprop
    learning_rate: float = Field(1e-4, gt=0)
    schedule: Literal["constant", "cosine"] = "constant"  # of both rates
    critic_rate: float = Field(2e-5, gt=0)
    critic_every: int = Field(10, ge=1)  # steps, from the second epoch on
    autoencoder_weight: float = Field(1e-3, ge=0)  # lambda_AE
    decay_epochs: int = Field(20, ge=1)  # a tenth of it from then to then
    adversarial_weight: float = Field(5.0, ge=0)  # lambda_adv
    pixel_weight: float = Field(1.0, ge=0)
    encoder_learns: bool = False  # the encoder is refined too, its statistics standing still
    perceptual_weights: list[float] = Field([100.0, 0.1, 0.001], min_length=3, max_length=3)
    perceived: Literal["whole", "both"] = "whole"  # branches of the baseline that are compared


def scaled(channels: int, width: float) -> int:
    """A width of the paper times a factor, at least 4."""
    return max(4, round(channels * width))


class Encoder(nn.Module):
    """E: dropout on the picture, stages a to d, a linear layer (Table I)."""

    def __init__(self, side: int, width: float = 1.0, dropout: float = 0.1, code: int = 64) -> None:
        super().__init__()
        self.channels = tuple(scaled(n, width) for n in (16, 32, 64, 80))
        self.corrupt = nn.Dropout(dropout)
        before = (1, *self.channels)
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(i, o, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(o))
            for i, o in itertools.pairwise(before)
        )
        self.bend = nn.LeakyReLU(0.01)
        self.side = side // 2**STRIDES
        self.code = nn.Linear(self.channels[-1] * self.side**2, code)

    def forward(self, x: Tensor, corrupted: bool = False) -> tuple[Tensor, list[Tensor]]:
        """(N, 1, H, H) -> z (N, code) and the maps of a to d; dropout if `corrupted`, and in training."""
        maps = []
        x = self.corrupt(x) if corrupted else x
        for stage in self.stages[:-1]:
            x = self.bend(stage(x).contiguous(memory_format=channels_last))
            maps.append(x)
            x = self.corrupt(x) if corrupted else x
        maps.append(self.stages[-1](x).tanh())
        code: Tensor = self.code(maps[-1].flatten(1))
        return code, maps


class Residual(nn.Module):
    """ReLU(x + two convolutions)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        nn.init.constant_(self.norm2.weight, NEAR_IDENTITY)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape in and out."""
        return relu(x + self.norm2(self.second(relu(self.norm1(self.first(x))))))


class Enlarging(nn.Module):
    """A residual block to twice the side."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1, bias=False)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.skip = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.norm1, self.norm2, self.norm3 = (nn.BatchNorm2d(outputs) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, H) -> (N, outputs, 2H, 2H)."""
        out = self.norm2(self.second(relu(self.norm1(self.first(x)))))
        # a 1x1 convolution and nearest neighbours commute: the small picture is the cheaper one
        around = interpolate(self.skip(x), scale_factor=2.0, mode="nearest")
        return relu(out + self.norm3(around))


class Painting(nn.Module):
    """Stage o: a residual block to one channel, linear at its end."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.second, self.skip = nn.Conv2d(channels, 1, 3, padding=1), nn.Conv2d(channels, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, H) -> (N, 1, H, H)."""
        painted: Tensor = self.skip(x) + self.second(relu(self.norm(self.first(x))))
        return painted


class Decoder(nn.Module):
    """G: a linear layer, stages c, b, a and t of two residual blocks each, stage o (Table I)."""

    def __init__(self, side: int, width: float = 1.0, code: int = 64) -> None:
        super().__init__()
        a, b, c, d = (scaled(n, width) for n in (16, 32, 64, 80))
        self.start = (d, side // 2**STRIDES, side // 2**STRIDES)
        self.spread = nn.Linear(code, math.prod(self.start))
        pairs = ((d, c), (c, b), (b, a), (a, a))
        self.stages = nn.ModuleList(nn.Sequential(Enlarging(i, o), Residual(o)) for i, o in pairs)
        self.paint = Painting(a)

    def forward(self, z: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(N, code) -> the picture (N, 1, H, H) and the maps that answer the encoder's a, b, c and d."""
        x = self.spread(z).unflatten(1, self.start).contiguous(memory_format=channels_last)
        maps = [x]
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        picture: Tensor = self.paint(x)
        return picture, maps[3::-1]  # stage t, the last, has no partner


class Critic(nn.Module):
    """D: four convolutions of stride 2 and a linear layer; not described in the paper."""

    def __init__(self, side: int, width: float = 1.0) -> None:
        super().__init__()
        widths = [1, *(scaled(n, width) for n in (32, 64, 128, 256))]
        layers: list[nn.Module] = []
        for i, o in itertools.pairwise(widths):
            layers += [nn.Conv2d(i, o, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        self.body = nn.Sequential(*layers, nn.Flatten())
        self.tell = nn.Linear(widths[-1] * (side // 2**STRIDES) ** 2, 1)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):  # most of torch's own would start at the bounds, and some stay there
                nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, H, H) -> (N,), unbounded."""
        told: Tensor = self.tell(self.body(x))
        return told[:, 0]

    def moved(self) -> list[nn.Parameter]:
        """All but the last bias, on which no difference of two answers depends."""
        return [parameter for parameter in self.parameters() if parameter is not self.tell.bias]

    @torch.no_grad()
    def clip(self) -> None:
        """Hold every weight within CLIP, for a bounded slope."""
        for parameter in self.parameters():
            parameter.clamp_(-CLIP, CLIP)


def unbend(encoder: Encoder, decoder: Decoder) -> None:
    """Let rectifiers and tanh start where they bend little.

    Near a linear map Muon finds a code that holds more of a face in as many epochs.
    """
    *rectified, last = (module for module in encoder.modules() if isinstance(module, nn.BatchNorm2d))
    nn.init.constant_(last.weight, WITHIN_TANH)
    for module in decoder.modules():
        if isinstance(module, Enlarging):
            rectified += [module.norm1, module.norm3]
        if isinstance(module, Painting):
            rectified += [module.norm]
    for norm in rectified:
        nn.init.constant_(norm.bias, ABOVE_ZERO)


def autoencoding(
    x: Tensor, rebuilt: Tensor, maps: Sequence[Tensor], answers: Sequence[Tensor], alpha: float
) -> Tensor:
    """Loss_AE: alpha_0 times the picture's mean squared error and that of each pair of maps: a scalar."""
    hidden = [mse_loss(answer.float(), clean.float()) for clean, answer in zip(maps, answers, strict=True)]
    return alpha * mse_loss(rebuilt.float(), x) + torch.stack(hidden).sum()
