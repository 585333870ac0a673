"""Coupled clusters loss beside softmax, with IDFERM's network, pictures and batches: a rival of it.

Paper: Liu, Tian, Yang, Wang and Huang, *Deep Relative Distance Learning: Tell the Difference Between Similar
Vehicles*, CVPR 2016. All faces of a class shall be nearer to their centre than the nearest other face is, by
a margin. *Differs from the paper*: every class of the batch is the positive set in turn.
"""

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor

from mien.methods.contract import Method, Phase
from mien.parts.metric_learning import FINE_TUNING, MetricLearner, MetricSettings
from mien.parts.radial import class_centres
from mien.shards.batch import Batch


class CoupledClustersConfig(MetricSettings):
    """Settings of `methods.coupled_clusters`."""

    margin: float = Field(2.0, gt=0)  # alpha; IDFERM's tau


def coupled_clusters_loss(features: Tensor, label: Tensor, centres: Tensor, margin: float) -> Tensor:
    """Mean of max(0, D(f_i, c) + margin - D(f_nearest, c)) / 2 over faces of a known class.

    features (K, D), label (K,) with -1 for no class, centres (C, D) -> scalar. f_nearest is the face of
    another class that is nearest to c, the centre of f_i's class. K C squared distances.
    """
    distance = torch.stack([(features - centre).square().sum(dim=1) for centre in centres], dim=1)
    other = (label[:, None] != torch.arange(len(centres), device=label.device)) & (label >= 0)[:, None]
    nearest = distance.masked_fill(~other, torch.inf).amin(dim=0)
    known = (label >= 0) & nearest.isfinite()[label.clamp(min=0)]
    own = distance[known].gather(1, label[known, None])[:, 0]
    cost = (own + margin - nearest[label[known]]).clamp(min=0) / 2
    return cost.sum() / known.sum().clamp(min=1)


class CoupledClusters(MetricLearner, Method):
    """The shared network under the coupled clusters loss."""

    Config = CoupledClustersConfig
    paper = "Liu et al., Deep Relative Distance Learning, CVPR 2016"
    config: CoupledClustersConfig

    def phases(self) -> Sequence[Phase]:
        """One phase."""
        c = self.config
        return (Phase(FINE_TUNING, c.epochs, self.batch_size, keep="most_accurate", balanced=True),)

    def metric_loss(self, features: Tensor, label: Tensor, batch: Batch) -> Tensor:
        """The loss round the centres of the batch's classes."""
        centres = class_centres(features, label, len(self.classes))
        self.evaluations += len(features) * len(centres)
        return coupled_clusters_loss(features, label, centres, self.config.margin)
