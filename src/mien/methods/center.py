"""Center loss beside softmax, with IDFERM's network, pictures and batches: the case of a radius of 0.

Paper: Wen, Zhang, Li and Qiao, *A Discriminative Feature Learning Approach for Deep Face Recognition*, ECCV
2016. Each face is drawn to a trainable centre of its class; nothing is pushed away. *Differs from the paper*:
the centres are moved by the optimiser at a rate of their own, not by a rule beside it.
"""

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from mien.methods.contract import Method, Phase
from mien.parts.metric_learning import FINE_TUNING, MetricLearner, MetricSettings
from mien.shards.batch import Batch


class CenterConfig(MetricSettings):
    """Settings of `methods.center`."""

    metric_weight: float = Field(0.003, gt=0)  # lambda; the paper's
    center_rate: float = Field(0.5, gt=0)  # alpha; how far a centre moves towards its faces' mean in a step


def center_loss(features: Tensor, label: Tensor, centers: Tensor) -> Tensor:
    """Half the squared distance to the own class's centre, a mean over faces of a known class.

    features (K, D), label (K,) with -1 for no class, centers (C, D) -> scalar.
    """
    known = label >= 0
    squared = (features - centers[label.clamp(min=0)]).square().sum(dim=1) / 2
    return (squared * known).sum() / known.sum().clamp(min=1)


class Center(MetricLearner, Method):
    """The shared network under the center loss."""

    Config = CenterConfig
    paper = "Wen et al., A Discriminative Feature Learning Approach for Deep Face Recognition, ECCV 2016"
    config: CenterConfig

    def __init__(self, config: CenterConfig, classes: Sequence[str]) -> None:
        super().__init__(config, classes)
        self.centers = nn.Parameter(torch.zeros(len(self.classes), self.network.embedding))

    def phases(self) -> Sequence[Phase]:
        """One phase."""
        c = self.config
        return (Phase(FINE_TUNING, c.epochs, self.batch_size, keep="most_accurate", balanced=True),)

    def optimizer(self, phase: Phase, turn: str) -> Optimizer:
        """SGD; the centres at their own rate, whatever lambda, and without decay."""
        c = self.config
        # the mean over K faces of C classes gives a class's centre lambda / C of the way to its faces' mean
        rate = c.center_rate * len(self.classes) / c.metric_weight
        own = {"params": [self.centers], "lr": rate, "weight_decay": 0.0, "momentum": 0.0}
        return self.clipped_sgd([{"params": list(self.network.parameters())}, own], c.learning_rate)

    def metric_loss(self, features: Tensor, label: Tensor, batch: Batch) -> Tensor:
        """The loss, K distances."""
        self.evaluations += len(features)
        return center_loss(features, label, self.centers)
