"""Contrastive loss beside softmax, with IDFERM's network, pictures and batches: a rival of its Table 2.

Paper: Hadsell, Chopra and LeCun, *Dimensionality Reduction by Learning an Invariant Mapping*, CVPR 2006.
Faces of one class shall lie together, others at least a margin apart. *Differs from the paper*: squared
distances without a square root under the margin, as everywhere in this family; all pairs of the batch count.
"""

from collections.abc import Sequence

from pydantic import Field
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import ContrastiveLoss
from pytorch_metric_learning.reducers import MeanReducer
from torch import Tensor

from mien.methods.contract import Method, Phase
from mien.parts.metric_learning import FINE_TUNING, MetricLearner, MetricSettings, counting
from mien.shards.batch import Batch


class ContrastiveConfig(MetricSettings):
    """Settings of `methods.contrastive`."""

    margin: float = Field(3.0, gt=0)  # IDFERM's outer radius, T + tau / 2


class Contrastive(MetricLearner, Method):
    """The shared network under the contrastive loss."""

    Config = ContrastiveConfig
    paper = "Hadsell et al., Dimensionality Reduction by Learning an Invariant Mapping, CVPR 2006"
    config: ContrastiveConfig

    def __init__(self, config: ContrastiveConfig, classes: Sequence[str]) -> None:
        super().__init__(config, classes)
        distance = counting(self, LpDistance(normalize_embeddings=False, power=2))
        self.loss = ContrastiveLoss(0.0, config.margin, distance=distance, reducer=MeanReducer())

    def phases(self) -> Sequence[Phase]:
        """One phase."""
        c = self.config
        return (Phase(FINE_TUNING, c.epochs, self.batch_size, keep="most_accurate", balanced=True),)

    def metric_loss(self, features: Tensor, label: Tensor, batch: Batch) -> Tensor:
        """Mean of D over pairs of a class, and of max(0, margin - D) over the others."""
        found: Tensor = self.loss(features[label >= 0], label[label >= 0])
        return found
