"""ResNet-18 under cross-entropy and center loss: features of a class are drawn together.

Paper: Wen, Zhang, Li and Qiao, *A Discriminative Feature Learning Approach for Deep Face Recognition*, ECCV
2016. Differs from the paper: ResNet-18 on faces that show expressions, with the settings that the authors of
DACL give for this rival (lambda 0.01; SGD at 0.01). `center` is the same loss under IDFERM's network.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import SGD, Optimizer

from mien.config import Section
from mien.methods.contract import Method, Phase, Schedule
from mien.parts.augment import Augmentation, augment
from mien.parts.backbones import Backbone
from mien.parts.gathering import gathered
from mien.parts.pictures import Light, normalise, resize
from mien.parts.schedule import ScheduleName, schedule
from mien.parts.weights import load_weights
from mien.shards.batch import Batch


class CenterLossConfig(Section):
    """Settings of `methods.center_loss`."""

    input_px: int = Field(224, ge=32)
    width: float = Field(1.0, gt=0, le=4)  # of the four stages; 1 is torchvision's
    window: float = Field(1.0, gt=0.2, le=1)  # share of the crop's side that it looks at
    light: Light = "kept"  # evened: grey faces of one brightness and contrast
    weights: str | None = None  # .safetensors or .pt, torchvision's names; no classifier
    center_weight: float = Field(0.01, ge=0)  # lambda
    center_rate: float = Field(0.5, gt=0, le=1)  # alpha: how far a step moves a centre
    batch_size: int = Field(64, ge=2)
    epochs: int = Field(60, ge=1)
    learning_rate: float = Field(0.01, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0)
    schedule: ScheduleName = "cosine"
    keep: Literal["last", "best"] = "best"
    augmentation: Augmentation = Augmentation()


def pull(features: Tensor, centers: Tensor, label: Tensor) -> Tensor:
    """L_C (eq. 2): half the squared distance of each face to its class's centre, a mean over the batch.

    features (N, D), centers (C, D), label (N,) -> scalar.
    """
    return (features - centers[label]).square().sum(dim=1).mean() / 2


def moved(features: Tensor, centers: Tensor, label: Tensor, rate: float) -> Tensor:
    """The centres after a step (eq. 4): c_j - rate * sum over its faces of (c_j - x) / (1 + their number)."""
    own = torch.zeros(len(centers), dtype=features.dtype, device=features.device)
    own.index_add_(0, label, torch.ones_like(features[:, 0]))
    off = torch.zeros_like(centers).index_add_(0, label, centers[label] - features)
    return centers - rate * off / (1 + own[:, None])


class CenterLoss(Method):
    """Backbone, classifier and centres, which are moved by their own rule and not by the optimiser."""

    Config = CenterLossConfig
    paper = "Wen et al., A Discriminative Feature Learning Approach for Deep Face Recognition, ECCV 2016"
    config: CenterLossConfig
    centers: Tensor  # (C, D)

    def __init__(self, config: CenterLossConfig, classes: Sequence[str]) -> None:
        super().__init__(config, classes)
        self.input_px = config.input_px
        self.backbone = Backbone("resnet18", config.width)
        self.classify = nn.Linear(self.backbone.features, len(classes))
        self.register_buffer("centers", torch.zeros(len(classes), self.backbone.features))
        self._weights_sha256: str | None = None

    @classmethod
    def files(cls, config: Section) -> Mapping[str, Path]:
        """The weight file, if one is named."""
        assert isinstance(config, CenterLossConfig)
        return {"weights": Path(config.weights)} if config.weights else {}

    def phases(self) -> Sequence[Phase]:
        """One phase."""
        c = self.config
        return (Phase("classification", epochs=c.epochs, batch_size=c.batch_size, keep=c.keep),)

    def start(self, phase: Phase, labels: int) -> None:
        """Load the weight file, all of it but the classifier."""
        if self.config.weights:
            file, key = self.config.weights, "methods.center_loss.weights"
            self._weights_sha256 = load_weights(self.backbone.network, file, key, within="backbone.network")

    def optimizer(self, phase: Phase, turn: str) -> Optimizer:
        """SGD over everything."""
        c = self.config
        own = self.moved_by(phase, turn)
        return SGD(own, lr=c.learning_rate, momentum=c.momentum, weight_decay=c.weight_decay)

    def schedule(self, phase: Phase, turn: str, optimizer: Optimizer) -> Schedule | None:
        """As the settings say."""
        return schedule(self.config.schedule, optimizer, self.config.epochs)

    def forward(self, batch: Batch, phase: Phase, turn: str) -> dict[str, Tensor]:
        """Cross-entropy and center loss; then the centres follow the whole batch."""
        features = self._features(batch)
        terms = self._terms(features, batch.label)
        if self.training:
            whole, _ = gathered(features.detach())
            label, _ = gathered(batch.label)
            self.centers.copy_(moved(whole, self.centers, label, self.config.center_rate))
        return terms

    def validate(self, batch: Batch, phase: Phase) -> tuple[dict[str, Tensor], Tensor | None]:
        """The cross-entropy alone, and scores: the other term would choose epochs by the features' size."""
        logits = self.classify(self._features(batch)).float()
        return {"cross_entropy": cross_entropy(logits, batch.label)}, logits

    def predict(self, batch: Batch) -> Tensor:
        """Softmax probabilities (N, C)."""
        logits: Tensor = self.classify(self._features(batch))
        return logits.float().softmax(dim=1)

    def record(self) -> dict[str, Any]:
        """Where the weights started."""
        return {"weights": f"file {self._weights_sha256}" if self._weights_sha256 else "random"}

    def _terms(self, features: Tensor, label: Tensor) -> dict[str, Tensor]:
        # a copy: the centres move before the gradient is taken
        centers = self.centers.clone()
        return {
            "cross_entropy": cross_entropy(self.classify(features).float(), label),
            "center": self.config.center_weight * pull(features.float(), centers, label),
        }

    def _features(self, batch: Batch) -> Tensor:
        pixels = resize(batch.faces, self.config.input_px, self.config.window)
        if self.training:
            pixels = augment(pixels, batch.seed, self.config.augmentation)
        features: Tensor = self.backbone(normalise(pixels, self.config.light))
        return features
