"""MKD: a small cloner learns a teacher's maps from normal faces; where it fails to, a face is alien.

Paper: Salehi, Sadjadi, Baselizadeh, Rohban and Rabiee, *Multiresolution Knowledge Distillation for Anomaly
Detection*, CVPR 2021. It claims AUC 98.7 % on MNIST, 87.2 % on CIFAR-10, 87.7 % on MVTecAD.

Differs from the paper: faces, not objects, and no centre crop; widths and sides can be smaller. As in the
authors' code the training loss reads the teacher's pools 2 to 5 and the score pools 3 to 5. The teacher is
VGG16 with ImageNet weights if `teacher: file` names torchvision's file; else it learns to tell people apart
in a phase before (`trained`) or stays as it is drawn (`random`), and the record says so. A teacher that is
not ImageNet's starts from He's initialisation and can have batch norm (`teacher_norm`, torchvision's
vgg16_bn): without it VGG16 learns nothing from a few hundred faces.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, cross_entropy
from torch.optim import Adam, Optimizer

from mien.config import Section
from mien.methods.contract import Method, Phase
from mien.parts.augment import Augmentation, augment
from mien.parts.inception_resnet import he, scaled
from mien.parts.pictures import resize
from mien.parts.teacher import TeacherFrom, TeacherTraining, imagenet, told
from mien.parts.weights import load_weights
from mien.shards.batch import Batch

STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))  # VGG16, a pool after each
TRAINED, SCORED = slice(1, 5), slice(1, 4)  # of the five pools; then of the four that are trained on
PEOPLE, DISTILLATION = "teacher", "distillation"


class MKDConfig(Section):
    """Settings of `methods.mkd`; the defaults are the authors' for CIFAR-10."""

    teacher: TeacherFrom = "file"
    teacher_file: str = "weights/vgg16-397923af.pth"  # torchvision's VGG16; width 1, no batch norm
    teacher_training: TeacherTraining = TeacherTraining()  # with teacher: trained
    teacher_norm: bool = False  # batch norm, as in torchvision's vgg16_bn
    width: float = Field(1.0, gt=0, le=1)  # of the teacher, and of the cloner's layers at its pools
    cloner_channels: int = Field(16, ge=2)  # of the cloner's other layers
    input_px: int = Field(224, ge=32)
    window: float = Field(1.0, gt=0.2, le=1)  # share of the crop's side that it looks at
    magnitude_weight: float = Field(0.01, ge=0)  # lambda
    batch_size: int = Field(64, ge=2)
    epochs: int = Field(201, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    augmentation: Augmentation = Augmentation(flip=0, rotation_degrees=0)


def direction(cloned: Tensor, taught: Tensor) -> Tensor:
    """1 - cosine of each face's flattened maps (MKD eq. 3): maps (N, C, H, W) twice -> (N,) in 0..2."""
    return 1 - cosine_similarity(cloned.flatten(1), taught.flatten(1), dim=1)


def magnitude(cloned: Tensor, taught: Tensor) -> Tensor:
    """Mean squared difference of each face's maps (MKD eq. 2): maps (N, C, H, W) twice -> (N,)."""
    return (cloned - taught).square().flatten(1).mean(dim=1)


def discrepancy(cloned: Sequence[Tensor], taught: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Direction and magnitude, each summed over taps (MKD eq. 2 and 3), a number a face: (N,) and (N,)."""
    pairs = list(zip(cloned, taught, strict=True))
    return (
        torch.stack([direction(c, t) for c, t in pairs]).sum(dim=0),
        torch.stack([magnitude(c, t) for c, t in pairs]).sum(dim=0),
    )


def vgg16(width: float, norm: bool) -> nn.Sequential:
    """VGG16's 13 convolutions and five pools under torchvision's numbers, He-initialised."""
    layers: list[nn.Module] = []
    inputs = 3
    for stage in STAGES:
        for channels in (scaled(c, width) for c in stage):
            layers.append(nn.Conv2d(inputs, channels, 3, padding=1))
            layers += [nn.BatchNorm2d(channels)] if norm else []
            layers.append(nn.ReLU())
            inputs = channels
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers).apply(he)


def cloner(width: float, narrow: int) -> nn.Sequential:
    """The same plan, narrow but before the pools of stages 2 to 5; no bias, and no batch norm there."""
    layers: list[nn.Module] = []
    inputs = 3
    for number, stage in enumerate(STAGES):
        for place, full in enumerate(stage, start=1):
            last = place == len(stage)
            channels = scaled(full, width) if last and number else narrow
            conv = nn.Conv2d(inputs, channels, 3, padding=1, bias=False)
            nn.init.xavier_uniform_(conv.weight)
            layers += [conv, nn.ReLU()] if last else [conv, nn.BatchNorm2d(channels), nn.ReLU()]
            inputs = channels
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


def pools(network: nn.Sequential, pixels: Tensor) -> list[Tensor]:
    """The five pools' outputs: at 224 px and width 1 a teacher's are 64x112^2 ... 512x7^2."""
    found = []
    for layer in network:
        pixels = layer(pixels)
        if isinstance(layer, nn.MaxPool2d):
            found.append(pixels)
    return found


class MKD(Method):
    """A frozen teacher and its cloner; see the head of this file."""

    Config = MKDConfig
    paper = "Salehi et al., Multiresolution Knowledge Distillation for Anomaly Detection, CVPR 2021"
    scores = ("discrepancy", "direction", "magnitude")
    config: MKDConfig

    def __init__(self, config: MKDConfig, classes: Sequence[str]) -> None:
        super().__init__(config, classes)
        self.input_px = config.input_px
        self.teacher = vgg16(config.width, config.teacher_norm)
        self.cloner = cloner(config.width, config.cloner_channels)
        self.people: nn.Linear | None = None  # there while the teacher learns
        self._sha256: str | None = None

    @classmethod
    def files(cls, config: Section) -> Mapping[str, Path]:
        """The teacher's weights, if they come from a file."""
        assert isinstance(config, MKDConfig)
        return {"teacher_file": Path(config.teacher_file)} if config.teacher == "file" else {}

    def phases(self) -> Sequence[Phase]:
        """The teacher's own training, if it has one, then the distillation."""
        c, t = self.config, self.config.teacher_training
        last = Phase(DISTILLATION, c.epochs, c.batch_size)
        if c.teacher != "trained":
            return (last,)
        return (Phase(PEOPLE, t.epochs, t.batch_size, label="subject", corpus=t.corpus), last)

    def start(self, phase: Phase, labels: int) -> None:
        """Give the teacher a classifier of people, or its weight file."""
        if phase.name == PEOPLE:
            self.people = nn.Linear(scaled(STAGES[-1][-1], self.config.width), labels)
        elif self.config.teacher == "file":
            file, key = self.config.teacher_file, "methods.mkd.teacher_file"
            self._sha256 = load_weights(self.teacher, file, key, within="features")

    def finish(self, phase: Phase) -> None:
        """Take the classifier of people off again."""
        self.people = None

    def moved_by(self, phase: Phase, turn: str) -> Sequence[nn.Parameter]:
        """The teacher in its own phase, then the cloner alone."""
        if phase.name == PEOPLE:
            assert self.people is not None
            return [*self.teacher.parameters(), *self.people.parameters()]
        return list(self.cloner.parameters())

    def optimizer(self, phase: Phase, turn: str) -> Optimizer:
        """Adam, with each phase's own rate."""
        of = self.config.teacher_training if phase.name == PEOPLE else self.config
        return Adam(self.moved_by(phase, turn), of.learning_rate)

    def train(self, mode: bool = True) -> "MKD":
        """As ever, but a teacher that has learnt stays in evaluation mode."""
        super().train(mode)
        if self.people is None:
            self.teacher.eval()
        return self

    def forward(self, batch: Batch, phase: Phase, turn: str) -> dict[str, Tensor]:
        """Cross-entropy of people, or the two distances over pools 2 to 5 (MKD eq. 4)."""
        if phase.name == PEOPLE:
            assert self.people is not None
            pixels = self._pixels(batch, self.config.teacher_training.augmentation)
            logits = self.people(pools(self.teacher, pixels)[-1].mean(dim=(2, 3)))
            return {"cross_entropy": cross_entropy(logits.float(), batch.label)}
        direction, magnitude = discrepancy(*self._maps(batch))
        return {"direction": direction.mean(), "magnitude": self.config.magnitude_weight * magnitude.mean()}

    def predict(self, batch: Batch) -> Tensor:
        """The training loss of each face without pool 2, and its two parts: (N, 3)."""
        cloned, taught = self._maps(batch)
        direction, magnitude = discrepancy(cloned[SCORED], taught[SCORED])
        return torch.stack([direction + self.config.magnitude_weight * magnitude, direction, magnitude], 1)

    def record(self) -> dict[str, Any]:
        """Whose knowledge the cloner copied."""
        c = self.config
        return {"teacher": told(c.teacher, self._sha256, c.teacher_training)}

    def _maps(self, batch: Batch) -> tuple[list[Tensor], list[Tensor]]:
        pixels = self._pixels(batch, self.config.augmentation)
        with torch.no_grad():
            taught = [tap.float() for tap in pools(self.teacher, pixels)[TRAINED]]
        return [tap.float() for tap in pools(self.cloner, pixels)[TRAINED]], taught

    def _pixels(self, batch: Batch, how: Augmentation) -> Tensor:
        pixels = resize(batch.faces, self.config.input_px, self.config.window)
        return imagenet(augment(pixels, batch.seed, how) if self.training else pixels)
