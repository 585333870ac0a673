"""The (N+1)-tuplet loss beside softmax, with IDFERM's network, pictures and batches: a rival of its Table 2.

Paper: Sohn, *Improved Deep Metric Learning with Multi-class N-pair Loss Objective*, NIPS 2016. A face is told
from all faces of other classes at once, by dot products. *Differs from the paper*: each face of a class is an
anchor in turn, and weight decay holds the features' length instead of a penalty on it.
"""

from collections.abc import Sequence

from pytorch_metric_learning.distances import DotProductSimilarity
from pytorch_metric_learning.losses import NTXentLoss
from pytorch_metric_learning.reducers import MeanReducer
from torch import Tensor

from mien.methods.contract import Method, Phase
from mien.parts.metric_learning import FINE_TUNING, MetricLearner, MetricSettings, counting
from mien.shards.batch import Batch


class NPairsConfig(MetricSettings):
    """Settings of `methods.n_pairs`."""


class NPairs(MetricLearner, Method):
    """The shared network under the (N+1)-tuplet loss."""

    Config = NPairsConfig
    paper = "Sohn, Improved Deep Metric Learning with Multi-class N-pair Loss Objective, NIPS 2016"
    config: NPairsConfig

    def __init__(self, config: NPairsConfig, classes: Sequence[str]) -> None:
        super().__init__(config, classes)
        similarity = counting(self, DotProductSimilarity(normalize_embeddings=False))
        # at temperature 1 and on dot products it is log(1 + sum over negatives of exp(f'f- - f'f+))
        self.loss = NTXentLoss(temperature=1.0, distance=similarity, reducer=MeanReducer())

    def phases(self) -> Sequence[Phase]:
        """One phase."""
        c = self.config
        return (Phase(FINE_TUNING, c.epochs, self.batch_size, keep="most_accurate", balanced=True),)

    def metric_loss(self, features: Tensor, label: Tensor, batch: Batch) -> Tensor:
        """log(1 + sum_n exp(f'f_n - f'f_p)), a mean over all pairs (f, f_p) of a class."""
        found: Tensor = self.loss(features[label >= 0], label[label >= 0])
        return found
