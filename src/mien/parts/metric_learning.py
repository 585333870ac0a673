"""What IDFERM and its rivals share: network, pictures, batches, optimiser; only the loss on features differs.

Each rival is a Method whose file says no more than its loss. All see the same faces in the same batches and
get the same care (Liu et al., Pattern Recognition 88, 2019, sections 3.3 and 4).
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch.distributed as dist
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from mien.config import Section
from mien.parts.expression_network import ExpressionNetwork
from mien.parts.frontal import FACE_PX, aligned, choice, crop, lit_alike
from mien.parts.gathering import gathered
from mien.parts.schedule import HalveAndReload
from mien.shards.batch import Batch

FINE_TUNING = "fine_tuning"


class MetricSettings(Section):
    """What IDFERM and its rivals have alike; the defaults are the paper's, or stand in for its silence."""

    width: float = Field(1.0, gt=0, le=4)  # of every layer
    slope: float = Field(0.1, ge=0, lt=1)  # eta of the leaky ReLU
    dropout: float = Field(0.5, ge=0, lt=1)  # of FC2 and FC3
    metric_weight: float = Field(1.0, gt=0)  # lambda
    start: float = Field(4.0, gt=0)  # squared length of features at the start, about
    per_class: int = Field(2, ge=2)  # faces of each class in a batch
    epochs: int = Field(100, ge=1)
    learning_rate: float = Field(0.01, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(1e-4, ge=0)
    clip_norm: float = Field(5.0, gt=0)
    patience_epochs: int = Field(10, ge=1)  # flat that long, the rate is halved and the best network reloaded


class MetricLearner(nn.Module):
    """The half of a Method that IDFERM and its rivals share; it stands before `Method` among the bases."""

    config: MetricSettings
    classes: tuple[str, ...]
    needs: frozenset[str] = frozenset({"faces", "label", "points"})

    def __init__(self, config: MetricSettings, classes: Sequence[str]) -> None:
        super().__init__(config, classes)
        self.input_px = FACE_PX
        c = config
        self.network = ExpressionNetwork(
            len(self.classes), c.width, c.dropout, c.slope, metric=c.metric_weight > 0, start=c.start
        )
        self.evaluations = 0  # distances of the last batch
        self.passes = 0  # faces through the network for the last update

    @property
    def batch_size(self) -> int:
        """`per_class` faces of each class."""
        return self.config.per_class * len(self.classes)

    @abstractmethod
    def metric_loss(self, features: Tensor, label: Tensor, batch: Batch) -> Tensor:
        """The loss on features (K, D) of a whole batch over all ranks; label (K,), -1 for no class.

        Adds the distances that it takes to `evaluations`.
        """

    def optimizer(self, phase: Any, turn: str) -> Optimizer:
        """SGD that clips the gradient of the whole batch, after the ranks have averaged theirs."""
        return self.clipped_sgd([{"params": list(self.moved_by(phase, turn))}], self.config.learning_rate)  # type: ignore[operator]

    def clipped_sgd(self, groups: list[dict[str, Any]], rate: float) -> Optimizer:
        """SGD over groups of parameters, their gradient cut to `clip_norm`."""
        c = self.config
        optimizer = SGD(groups, lr=rate, momentum=c.momentum, weight_decay=c.weight_decay)
        parameters = [p for group in groups for p in group["params"]]
        optimizer.register_step_pre_hook(lambda *_: _clip(parameters, c.clip_norm))
        return optimizer

    def schedule(
        self, phase: Any, turn: str, optimizer: Optimizer
    ) -> HalveAndReload | LRScheduler | ReduceLROnPlateau | None:
        """The rate is halved, and the best network reloaded, when training goes astray or stands still."""
        return HalveAndReload(optimizer, self.config.patience_epochs)

    def forward(self, batch: Batch, phase: Any, turn: str) -> dict[str, Tensor]:
        """Cross-entropy of the expression branch, and lambda times the loss on features."""
        pictures = self.pictures(batch)
        self.evaluations, self.passes = 0, len(pictures) * world()
        if not self.config.metric_weight:
            return {"cross_entropy": whole_cross_entropy(self.network.logits(pictures), batch.label)}
        logits, features = self.network(pictures)
        loss = self.metric_loss(gathered(features.float())[0], gathered(batch.label)[0], batch)
        return {
            "cross_entropy": whole_cross_entropy(logits, batch.label),
            "metric": self.config.metric_weight * loss,
        }

    def validate(self, batch: Batch, phase: Any) -> tuple[dict[str, Tensor], Tensor | None]:
        """Cross-entropy and logits of the expression branch: all that a test face is judged by."""
        logits = self.network.logits(self.pictures(batch))
        return {"cross_entropy": cross_entropy(logits.float(), batch.label, ignore_index=-1)}, logits

    def predict(self, batch: Batch) -> Tensor:
        """Softmax probabilities (N, C) of the middle crop, by the expression branch alone."""
        return self.network.logits(self.pictures(batch)).float().softmax(dim=1)

    def probabilities(self, faces: Tensor) -> Tensor:
        """As `predict`, of faces (N, 1, 64, 64) that are aligned already, in 0..255."""
        return self.network.logits(lit_alike(crop(faces))).float().softmax(dim=1)

    def pictures(self, batch: Batch) -> Tensor:
        """What the network sees: one of ten crops in training, else the middle one; (N, 1, 60, 60)."""
        assert batch.points is not None
        faces = aligned(batch.faces, batch.points)
        return lit_alike(crop(faces, choice(batch.seed) if self.training else None))

    def record(self) -> dict[str, Any]:
        """What an update took."""
        return {"distances a batch": self.evaluations, "faces through the network an update": self.passes}


def whole_cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    """This rank's share of the mean over the faces of the whole batch that have a class (label not -1)."""
    known = gathered(label)[0] >= 0
    return (
        cross_entropy(logits.float(), label, ignore_index=-1, reduction="sum")
        * world()
        / known.sum().clamp(min=1)
    )


def world() -> int:
    """How many ranks train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def counting(learner: MetricLearner, distance: nn.Module) -> nn.Module:
    """Have a distance of pytorch-metric-learning add the pairs of each call to the learner's count."""

    def count(module: nn.Module, given: Any, matrix: Tensor) -> None:
        learner.evaluations += matrix.numel()

    distance.register_forward_hook(count)
    return distance


def _clip(parameters: list[nn.Parameter], norm: float) -> None:
    clip_grad_norm_(parameters, norm)
