"""The (N+M)-tuplet clusters loss beside softmax, with IDFERM's network: the authors' own earlier rival.

Paper: Liu, Kumar, You and Jia, *Adaptive Deep Metric Learning for Identity-Aware Facial Expression
Recognition*, CVPR Workshops 2017; the loss as IDFERM tells it (Pattern Recognition 88, 2019, section 2). N
faces of the query's class are pulled to their centre, M faces of the query's own person with other
expressions, the hard negatives that IDFERM need not look for, are pushed from it. *Differs from the paper*: a
batch is so many people with every expression that they have, so that it holds these negatives; its metric
is IDFERM's (`parts/radial.py`), and every face of the batch is the query in turn.
"""

from collections.abc import Sequence

from pydantic import Field
from torch import Tensor

from mien.methods.contract import Method, Phase
from mien.parts.gathering import gathered
from mien.parts.inception_resnet import scaled
from mien.parts.metric_learning import FINE_TUNING, MetricLearner, MetricSettings
from mien.parts.radial import Quadratic, class_centres, pull, push
from mien.shards.batch import Batch


class NMTupletConfig(MetricSettings):
    """Settings of `methods.nm_tuplet`."""

    rank: int = Field(128, ge=1)  # of L_A and L_B, times width


def share(cost: Tensor, query: Tensor, number: int) -> Tensor:
    """Sum over queries of the mean of their costs: cost (P,) of pairs, query (P,) of each -> scalar."""
    counts = query.bincount(minlength=number)
    return (cost / counts[query]).sum()


class NMTuplet(MetricLearner, Method):
    """The shared network and a learnt metric under the (N+M)-tuplet clusters loss."""

    Config = NMTupletConfig
    paper = "Liu et al., Adaptive Deep Metric Learning for Identity-Aware FER, CVPR Workshops 2017"
    needs = frozenset({"faces", "label", "points", "subject"})
    config: NMTupletConfig

    def __init__(self, config: NMTupletConfig, classes: Sequence[str]) -> None:
        super().__init__(config, classes)
        self.metric = Quadratic(self.network.embedding, scaled(config.rank, config.width))

    def phases(self) -> Sequence[Phase]:
        """One phase."""
        c = self.config
        return (
            Phase(FINE_TUNING, c.epochs, self.batch_size, keep="most_accurate", balanced=True, people=True),
        )

    def metric_loss(self, features: Tensor, label: Tensor, batch: Batch) -> Tensor:
        """1/N sum over f+ of max(0, 1 + Q(f+, C+)), and 1/M over f- of max(0, 1 - Q(f-, C+)); by query."""
        assert batch.subject is not None
        subject = gathered(batch.subject)[0]
        centres = class_centres(features, label, len(self.classes))
        known, together = label >= 0, label[:, None] == label
        query, positive = (together & known[:, None]).nonzero(as_tuple=True)
        alike = (subject[:, None] == subject) & (subject >= 0) & known & known[:, None]
        asker, negative = (alike & ~together).nonzero(as_tuple=True)
        self.metric.evaluations = 0
        near = pull(self.metric(features[positive], centres[label[query]]))
        far = push(self.metric(features[negative], centres[label[asker]]))
        self.evaluations += self.metric.evaluations
        cost = share(near, query, len(features)) + share(far, asker, len(features))
        return cost / known.sum().clamp(min=1)
