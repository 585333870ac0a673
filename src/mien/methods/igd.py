"""IGD: an interpolated Gaussian descriptor of normal faces, beside their reconstruction.

Paper: Chen, Tian, Pang and Carneiro, *Deep One-Class Classification via Interpolated Gaussian Descriptor*,
AAAI 2022. It claims AUC 98.7 % on MNIST, 91.3 % on CIFAR-10, 92.6 % on MVTecAD with ImageNet's knowledge.

Differs from the paper, following the authors' code where that says more: one scale; at 224 px the decoder
starts at 7x7 and needs one doubling less; the learning rate falls by epoch. Their slips are not copied: batch
norm of the decoder trains, and sigma is taken round the new centre. Biases that a batch norm cancels are left
out. MS-SSIM at small sides uses as many of its five scales as an 11-pixel window fits. The encoder is
ResNet-18 with ImageNet weights if `teacher: file` names torchvision's file; else it learns to tell people
apart in a phase before (`trained`) or stays as it is drawn (`random`), and the record says so.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy, interpolate, relu
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from mien.config import Section
from mien.methods.contract import Method, Phase, Schedule
from mien.parts.augment import Augmentation, augment, uniform
from mien.parts.centre import away_from_zero
from mien.parts.gathering import gathered
from mien.parts.pictures import resize
from mien.parts.resnet import Scaled
from mien.parts.ssim import ms_ssim, scales
from mien.parts.teacher import IMAGENET_RANGE, TeacherFrom, TeacherTraining, imagenet, told
from mien.parts.weights import load_weights
from mien.shards.batch import Batch

ALPHA_COLUMN = 12  # of a face's random numbers; augmentation takes those before
PEOPLE, DESCRIPTION = "teacher", "description"
GENERATOR, CRITIC = "generator", "critic"


class IGDConfig(Section):
    """Settings of `methods.igd`; the defaults are the authors'."""

    teacher: TeacherFrom = "file"
    teacher_file: str = "weights/resnet18-f37072fd.pth"  # torchvision's ResNet-18; width 1
    teacher_training: TeacherTraining = TeacherTraining()  # with teacher: trained
    teacher_width: float = Field(1.0, gt=0, le=1)
    latent: int = Field(128, ge=2)  # of z
    channels: list[int] = Field([512, 512, 256, 128, 64], min_length=2)  # coarsest first; each doubles
    input_px: int = Field(224, ge=32)  # a multiple of 2 ** len(channels)
    window: float = Field(1.0, gt=0.2, le=1)  # share of the crop's side that it looks at
    structure_weight: float = Field(0.85, ge=0, le=1)  # of MS-SSIM in the reconstruction; the rest is L1's
    interpolation_weight: float = Field(0.1, ge=0)
    leak: float = Field(0.2, ge=0, le=1)  # of a face into the reconstruction that the critic calls real
    fusion: float = Field(0.5, ge=0, le=1)  # of the reconstruction in the score
    refresh_epochs: int = Field(10, ge=1)  # between two looks at centre and sigma
    batch_size: int = Field(16, ge=2)
    epochs: int = Field(256, ge=1)
    learning_rate: float = Field(1e-4, gt=0)
    weight_decay: float = Field(1e-6, ge=0)  # of the generator
    decay_power: float = Field(0.9, ge=0)
    augmentation: Augmentation = Augmentation(rotation_degrees=0)

    @model_validator(mode="after")
    def _sides(self) -> "IGDConfig":
        if self.input_px % 2 ** len(self.channels):
            raise ValueError(
                f"input_px must be a multiple of 2 ** {len(self.channels)}, one for each channel"
            )
        return self


def reconstruction(x: Tensor, rebuilt: Tensor, structure_weight: float) -> Tensor:
    """.85 (1 - MS-SSIM) + .15 L1 / range, a number a face: standardised pictures twice -> (N,)."""
    flat = (x - rebuilt).abs().flatten(1).mean(dim=1) / IMAGENET_RANGE
    return structure_weight * (1 - ms_ssim(x, rebuilt, IMAGENET_RANGE)) + (1 - structure_weight) * flat


def gaussian(z: Tensor, center: Tensor, sigma: Tensor) -> Tensor:
    """1 - exp(-|z - c|^2 / sigma), a number a face in 0..1: z (N, D), center (D,) -> (N,)."""
    return 1 - torch.exp(-(z - center).square().sum(dim=1) / sigma)


def interpolated(z: Tensor, alpha: Tensor, partner: Tensor) -> Tensor:
    """alpha z + (1 - alpha) partner: z and partner (N, D), alpha (N,) in 0..0.5 -> (N, D)."""
    return alpha[:, None] * z + (1 - alpha[:, None]) * partner


def sigma_of(z: Tensor, center: Tensor, batch_size: int) -> Tensor:
    """Mean over batches of max(1, the batch's mean squared distance to the centre): (N, D) -> scalar."""
    distance = (z - center).square().sum(dim=1)
    return torch.stack([part.mean().clamp_min(1) for part in torch.split(distance, batch_size)]).mean()


def opposite(z: Tensor, over_ranks: bool) -> Tensor:
    """The batch in reverse order, or this rank's rows of the reversed global batch: (N, D) -> (N, D)."""
    whole, first = gathered(z) if over_ranks else (z, 0)
    return whole.flip(0)[first : first + len(z)]


def doubled(x: Tensor) -> Tensor:
    """Nearest neighbour to twice the side."""
    return interpolate(x, scale_factor=2.0, mode="nearest")


def halved(x: Tensor) -> Tensor:
    """Means of two by two: avg_pool2d, whose way back is five times as slow on a CPU."""
    return (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4


class Up(nn.Module):
    """A pre-activation residual block to twice the side."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(inputs), nn.BatchNorm2d(outputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, 2H, 2W)."""
        out = self.conv1(doubled(relu(self.norm1(x))))
        grown: Tensor = self.conv2(relu(self.norm2(out))) + doubled(self.shortcut(x))
        return grown


class Down(nn.Module):
    """A pre-activation residual block to half the side, normalised over each face's whole map."""

    def __init__(self, inputs: int, outputs: int, side: int) -> None:
        super().__init__()
        self.shortcut = nn.Conv2d(inputs, outputs, 1)
        self.norm1, self.norm2 = nn.LayerNorm([inputs, side, side]), nn.LayerNorm([inputs, side, side])
        self.conv1 = nn.Conv2d(inputs, inputs, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(inputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H/2, W/2)."""
        out = self.conv2(relu(self.norm2(self.conv1(relu(self.norm1(x))))))
        shrunk: Tensor = halved(out) + self.shortcut(halved(x))
        return shrunk


def initialise(module: nn.Module) -> None:
    """The authors': Glorot's for linear layers, shortcuts and the critic's first one, else He's; biases 0."""
    if isinstance(module, nn.Linear | nn.Conv2d):
        straight = isinstance(module, nn.Linear) or module.kernel_size == (1, 1) or module.stride == (2, 2)
        fill = nn.init.xavier_uniform_ if straight else nn.init.kaiming_uniform_
        fill(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class Decoder(nn.Module):
    """G: z -> a standardised picture."""

    def __init__(self, latent: int, channels: Sequence[int], side: int) -> None:
        super().__init__()
        self.start = (channels[0], side, side)
        self.spread = nn.Linear(latent, math.prod(self.start))
        self.ups = nn.Sequential(*(Up(a, b) for a, b in itertools.pairwise(channels)))
        self.norm = nn.BatchNorm2d(channels[-1])
        self.paint = nn.Conv2d(channels[-1], 3, 5, padding=2)

    def forward(self, z: Tensor) -> Tensor:
        """(N, latent) -> (N, 3, H, W)."""
        x = self.ups(self.spread(z).unflatten(1, self.start))
        picture: Tensor = self.paint(doubled(relu(self.norm(x))))
        return picture


class Critic(nn.Module):
    """Tells how far an interpolated picture is from the nearer of its two ends: 0 is a true one."""

    def __init__(self, channels: Sequence[int], side: int) -> None:
        super().__init__()
        widths = list(reversed(channels))
        self.first = nn.Conv2d(3, widths[0], 5, stride=2, padding=2)
        sides = [side >> n for n in range(1, len(widths) + 1)]
        pairs = zip(widths, widths[1:], sides, strict=False)
        self.downs = nn.Sequential(*(Down(a, b, s) for a, b, s in pairs))
        self.last = nn.Conv2d(widths[-1], widths[-1], 3, stride=2, padding=1)
        self.tell = nn.Linear(widths[-1] * ((sides[-1] + 1) // 2) ** 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N,)."""
        told: Tensor = self.tell(self.last(self.downs(self.first(x))).flatten(1))
        return told[:, 0]


class IGD(Method):
    """A frozen encoder with a linear layer, a decoder and a critic; see the head of this file."""

    Config = IGDConfig
    paper = "Chen et al., Deep One-Class Classification via Interpolated Gaussian Descriptor, AAAI 2022"
    scores = ("fusion", "reconstruction", "gaussian")
    config: IGDConfig
    center: Tensor  # (latent,): c
    sigma: Tensor  # scalar

    def __init__(self, config: IGDConfig, classes: Sequence[str]) -> None:
        super().__init__(config, classes)
        self.input_px = config.input_px
        self.encoder = Scaled(config.teacher_width, 1)
        self.features = self.encoder.fc.in_features
        self.encoder.fc = nn.Identity()  # type: ignore[assignment] # the pooled features themselves
        self.project = nn.Linear(self.features, config.latent)
        self.decoder = Decoder(config.latent, config.channels, config.input_px >> len(config.channels))
        self.critic = Critic(config.channels, config.input_px)
        for part in (self.project, self.decoder, self.critic):
            part.apply(initialise)
        self.register_buffer("center", torch.zeros(config.latent))
        self.register_buffer("sigma", torch.ones(()))
        self.people: nn.Linear | None = None  # there while the encoder learns
        self._sha256: str | None = None

    @classmethod
    def files(cls, config: Section) -> Mapping[str, Path]:
        """The encoder's weights, if they come from a file."""
        assert isinstance(config, IGDConfig)
        return {"teacher_file": Path(config.teacher_file)} if config.teacher == "file" else {}

    def phases(self) -> Sequence[Phase]:
        """The encoder's own training, if it has one, then all the rest."""
        c, t = self.config, self.config.teacher_training
        last = Phase(DESCRIPTION, c.epochs, c.batch_size)
        if c.teacher != "trained":
            return (last,)
        return (Phase(PEOPLE, t.epochs, t.batch_size, label="subject", corpus=t.corpus), last)

    def start(self, phase: Phase, labels: int) -> None:
        """Give the encoder a classifier of people, or its weight file."""
        if phase.name == PEOPLE:
            self.people = nn.Linear(self.features, labels)
        elif self.config.teacher == "file":
            file, key = self.config.teacher_file, "methods.igd.teacher_file"
            self._sha256 = load_weights(self.encoder, file, key)

    def finish(self, phase: Phase) -> None:
        """Take the classifier of people off again."""
        self.people = None

    def refresh(self, batches: Callable[[], Iterable[Batch]], phase: Phase, epoch: int) -> None:
        """Centre, then sigma round it, every `refresh_epochs` epochs."""
        if phase.name == DESCRIPTION and epoch % self.config.refresh_epochs == 0:
            z = torch.cat([self.encode(self._pixels(batch)) for batch in batches()])
            self.center.copy_(away_from_zero(z.mean(dim=0)))
            self.sigma.copy_(sigma_of(z, self.center, self.config.batch_size))

    def turns(self, phase: Phase, step: int) -> Sequence[str]:
        """Generator, then critic, once each; one turn while the encoder learns."""
        return ("all",) if phase.name == PEOPLE else (GENERATOR, CRITIC)

    def moved_by(self, phase: Phase, turn: str) -> Sequence[nn.Parameter]:
        """The encoder in its own phase; then the linear layer and the decoder, or the critic."""
        if phase.name == PEOPLE:
            assert self.people is not None
            return [*self.encoder.parameters(), *self.people.parameters()]
        if turn == CRITIC:
            return list(self.critic.parameters())
        return [*self.project.parameters(), *self.decoder.parameters()]

    def optimizer(self, phase: Phase, turn: str) -> Optimizer:
        """Adam; without momentum while it is adversarial."""
        moved, c = self.moved_by(phase, turn), self.config
        if phase.name == PEOPLE:
            return Adam(moved, c.teacher_training.learning_rate)
        decay = c.weight_decay if turn == GENERATOR else 0.0
        return Adam(moved, c.learning_rate, (0.0, 0.9), weight_decay=decay)

    def schedule(self, phase: Phase, turn: str, optimizer: Optimizer) -> Schedule | None:
        """Polynomial decay to 0."""
        if phase.name == PEOPLE:
            return None
        return LambdaLR(optimizer, lambda e: max(1 - e / phase.epochs, 0) ** self.config.decay_power)

    def train(self, mode: bool = True) -> "IGD":
        """As ever, but an encoder that has learnt stays in evaluation mode."""
        super().train(mode)
        if self.people is None:
            self.encoder.eval()
        return self

    def encode(self, pixels: Tensor) -> Tensor:
        """z of standardised pictures: (N, latent)."""
        with torch.no_grad():
            features = self.encoder(pixels)
        z: Tensor = self.project(features).float()
        return z

    def forward(self, batch: Batch, phase: Phase, turn: str) -> dict[str, Tensor]:
        """Cross-entropy of people, or the turn's terms."""
        if phase.name == PEOPLE:
            assert self.people is not None
            pixels = self._pixels(batch, self.config.teacher_training.augmentation)
            logits = self.people(self.encoder(pixels))
            return {"cross_entropy": cross_entropy(logits.float(), batch.label)}
        pixels = self._pixels(batch, self.config.augmentation)
        alpha = uniform(batch.seed, ALPHA_COLUMN + 1)[:, ALPHA_COLUMN] / 2
        return self._critic_terms(pixels, alpha) if turn == CRITIC else self._generator_terms(pixels, alpha)

    def predict(self, batch: Batch) -> Tensor:
        """Half the reconstruction error and half the Gaussian term, and each alone: (N, 3)."""
        pixels, share = self._pixels(batch), self.config.fusion
        z = self.encode(pixels)
        rebuilt = reconstruction(pixels, self.decoder(z).float(), self.config.structure_weight)
        far = gaussian(z, self.center, self.sigma)
        return torch.stack([share * rebuilt + (1 - share) * far, rebuilt, far], dim=1)

    def record(self) -> dict[str, Any]:
        """Whose knowledge the encoder has, how MS-SSIM was computed, and sigma."""
        c = self.config
        encoder = told(c.teacher, self._sha256, c.teacher_training)
        return {"encoder": encoder, "ms_ssim_scales": scales(c.input_px), "sigma": float(self.sigma)}

    def _generator_terms(self, pixels: Tensor, alpha: Tensor) -> dict[str, Tensor]:
        c, z = self.config, self.encode(pixels)
        between = self.decoder(interpolated(z, alpha, opposite(z, self.training)))
        still = {name: weight.detach() for name, weight in self.critic.named_parameters()}
        fooled = functional_call(self.critic, still, between).float().square().mean()
        rebuilt = self.decoder(z).float()
        return {
            "reconstruction": reconstruction(pixels, rebuilt, c.structure_weight).mean(),
            "gaussian": gaussian(z, self.center, self.sigma).mean(),
            "interpolation": c.interpolation_weight * fooled,
        }

    def _critic_terms(self, pixels: Tensor, alpha: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            z = self.encode(pixels)
            between = self.decoder(interpolated(z, alpha, opposite(z, self.training)))
            rebuilt = self.decoder(z)
            nearly_true = rebuilt + self.config.leak * (pixels - rebuilt)
        return {
            "critic_alpha": (self.critic(between).float() - alpha).square().mean(),
            "critic_true": self.critic(nearly_true).float().square().mean(),
        }

    def _pixels(self, batch: Batch, how: Augmentation | None = None) -> Tensor:
        pixels = resize(batch.faces, self.config.input_px, self.config.window)
        return imagenet(augment(pixels, batch.seed, how) if how and self.training else pixels)
