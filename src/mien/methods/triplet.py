"""Triplet loss beside softmax, with IDFERM's network, pictures and batches: a rival of its Table 2.

Paper: Schroff, Kalenichenko and Philbin, *FaceNet: A Unified Embedding for Face Recognition and Clustering*,
CVPR 2015. Each face of a class shall be nearer to the others of its class than to any other face, by a margin
of squared distance. *Differs from the paper*: features are not normalised, all valid triplets of the batch
count, and their mean is taken over all of them, the fulfilled ones too.
"""

from collections.abc import Sequence

from pydantic import Field
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.reducers import MeanReducer
from torch import Tensor

from mien.methods.contract import Method, Phase
from mien.parts.metric_learning import FINE_TUNING, MetricLearner, MetricSettings, counting
from mien.shards.batch import Batch


class TripletConfig(MetricSettings):
    """Settings of `methods.triplet`."""

    margin: float = Field(2.0, gt=0)  # IDFERM's tau


class Triplet(MetricLearner, Method):
    """The shared network under the triplet loss."""

    Config = TripletConfig
    paper = "Schroff et al., FaceNet: A Unified Embedding for Face Recognition and Clustering, CVPR 2015"
    config: TripletConfig

    def __init__(self, config: TripletConfig, classes: Sequence[str]) -> None:
        super().__init__(config, classes)
        distance = counting(self, LpDistance(normalize_embeddings=False, power=2))
        self.loss = TripletMarginLoss(config.margin, distance=distance, reducer=MeanReducer())

    def phases(self) -> Sequence[Phase]:
        """One phase."""
        c = self.config
        return (Phase(FINE_TUNING, c.epochs, self.batch_size, keep="most_accurate", balanced=True),)

    def metric_loss(self, features: Tensor, label: Tensor, batch: Batch) -> Tensor:
        """max(0, D(anchor, positive) - D(anchor, negative) + margin), a mean over all triplets."""
        found: Tensor = self.loss(features[label >= 0], label[label >= 0])
        return found
