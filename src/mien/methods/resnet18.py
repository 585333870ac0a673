"""ResNet-18 with cross-entropy: the plain baseline that every other method has to beat.

Paper: He, Zhang, Ren and Sun, *Deep Residual Learning for Image Recognition*, CVPR 2016.
Differs from the paper: Adam with decoupled weight decay and a cosine schedule instead of SGD in steps; faces
instead of ImageNet. Weights come from a file in torchvision's names if one is given, else they are random.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import AdamW, Optimizer

from mien.config import Section
from mien.methods.contract import Method, Phase, Schedule
from mien.parts.augment import Augmentation, augment
from mien.parts.pictures import Light, normalise, resize
from mien.parts.resnet import Scaled
from mien.parts.schedule import ScheduleName, schedule
from mien.parts.weights import load_weights
from mien.shards.batch import Batch


class ResNet18Config(Section):
    """Settings of `methods.resnet18`."""

    input_px: int = Field(224, ge=32)
    stem: Literal["imagenet", "small"] = "imagenet"  # small: 3x3 and no pooling, for 32-64 px
    width: float = Field(1.0, gt=0, le=4)  # of the four stages; 1 is torchvision's
    window: float = Field(1.0, gt=0.2, le=1)  # share of the crop's side that it looks at
    light: Light = "kept"  # evened: grey faces of one brightness and contrast
    weights: str | None = None  # .safetensors or .pt, torchvision's or mien's own; no classifier
    batch_size: int = Field(64, ge=2)
    epochs: int = Field(60, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.05, ge=0)
    schedule: ScheduleName = "cosine"
    plateau_patience_epochs: int = Field(20, ge=1)
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    keep: Literal["last", "best"] = "best"
    augmentation: Augmentation = Augmentation()


class ResNet18(Method):
    """torchvision's ResNet-18 on faces."""

    Config = ResNet18Config
    paper = "He et al., Deep Residual Learning for Image Recognition, CVPR 2016"
    config: ResNet18Config

    def __init__(self, config: ResNet18Config, classes: Sequence[str]) -> None:
        super().__init__(config, classes)
        self.input_px = config.input_px
        self.network = Scaled(config.width, len(classes))
        if config.stem == "small":
            self.network.conv1 = nn.Conv2d(3, 64, kernel_size=3, padding=1, bias=False)
            self.network.maxpool = nn.Identity()
        if config.dropout:
            self.network.avgpool = nn.Sequential(self.network.avgpool, nn.Dropout(config.dropout))
        self._weights_sha256: str | None = None

    @classmethod
    def files(cls, config: Section) -> Mapping[str, Path]:
        """The weight file, if one is named."""
        assert isinstance(config, ResNet18Config)
        return {"weights": Path(config.weights)} if config.weights else {}

    def phases(self) -> Sequence[Phase]:
        """One phase: classification."""
        c = self.config
        return (Phase("classification", epochs=c.epochs, batch_size=c.batch_size, keep=c.keep),)

    def start(self, phase: Phase, labels: int) -> None:
        """Load the weight file, all of it but the classifier."""
        if self.config.weights:
            body = nn.ModuleDict({k: m for k, m in self.network.named_children() if k != "fc"})
            file, key = self.config.weights, "methods.resnet18.weights"
            self._weights_sha256 = load_weights(body, file, key, within="network")

    def optimizer(self, phase: Phase, turn: str) -> Optimizer:
        """AdamW over everything."""
        c = self.config
        return AdamW(self.moved_by(phase, turn), lr=c.learning_rate, weight_decay=c.weight_decay, fused=True)

    def schedule(self, phase: Phase, turn: str, optimizer: Optimizer) -> Schedule | None:
        """As the settings say."""
        c = self.config
        return schedule(c.schedule, optimizer, c.epochs, c.plateau_patience_epochs)

    def forward(self, batch: Batch, phase: Phase, turn: str) -> dict[str, Tensor]:
        """Cross-entropy, with label smoothing."""
        return {"cross_entropy": self._loss(self._logits(batch), batch.label)}

    def validate(self, batch: Batch, phase: Phase) -> tuple[dict[str, Tensor], Tensor | None]:
        """The loss and the class scores from one pass."""
        logits = self._logits(batch)
        return {"cross_entropy": self._loss(logits, batch.label)}, logits

    def predict(self, batch: Batch) -> Tensor:
        """Softmax probabilities (N, C)."""
        return self._logits(batch).float().softmax(dim=1)

    def record(self) -> dict[str, Any]:
        """Where the weights started."""
        return {"weights": f"file {self._weights_sha256}" if self._weights_sha256 else "random"}

    def _logits(self, batch: Batch) -> Tensor:
        pixels = resize(batch.faces, self.config.input_px, self.config.window)
        if self.training:
            pixels = augment(pixels, batch.seed, self.config.augmentation)
        logits: Tensor = self.network(normalise(pixels, self.config.light))
        return logits

    def _loss(self, logits: Tensor, label: Tensor) -> Tensor:
        return cross_entropy(logits.float(), label, label_smoothing=self.config.label_smoothing)
