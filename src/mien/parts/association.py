"""Faces linked by how alike they are, and the graph convolution over the links (EAN, eq. 3-8)."""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import normalize

from mien.config import MienError, Section
from mien.parts.augment import uniform
from mien.parts.noise import apart

DROPOUT = 21  # a use of a face's seed
EPS = 1e-8  # under the norm of a feature row: one of zeros is like no other


class Graph(Section):
    """Which faces are linked, and how links learn."""

    links: Literal["similarity", "identity", "oracle"] = (
        "similarity"  # oracle: by true labels, an upper bound
    )
    tau: float | None = Field(None, ge=-1, le=1)  # linked from this cosine on; None: calibrated after warm-up
    tau_share: float = Field(0.5, ge=0, le=1)  # of the way from unequal labels' mean cosine to equal ones'
    tau2: float | None = Field(None, ge=-1, le=1)  # linked up to this cosine, too
    opposite: Literal[1, -1] = 1  # what such a link is worth
    centred: bool = False  # features less their mean: after a ReLU no cosine is below 0
    self_links: bool = True  # A(i, i) = 1, to which the convolution adds another
    gradient: Literal["hard", "straight_through", "soft"] = "straight_through"
    temperature: float = Field(0.1, gt=0)  # of the sigmoid that lends its gradient
    loss: Literal["normalised", "literal", "none"] = "normalised"
    loss_weight: float = Field(0.1, ge=0)  # alpha
    max_density: float = Field(0.9, gt=0, le=1)  # of links, in training; above, all faces get one answer
    gallery_per_class: int = Field(16, ge=1)  # training faces that a prediction rests on


def cosines(rows: Tensor) -> Tensor:
    """C_s (eq. 3): rows (..., N, D) -> (..., N, N) in float32."""
    unit = normalize(rows.float(), dim=-1, eps=EPS)
    return unit @ unit.transpose(-1, -2)


def adjacency(similarity: Tensor, tau: Tensor, graph: Graph) -> Tensor:
    """A (eq. 4): 1 from `tau` on, `opposite` up to `tau2`, else 0; (..., N, N).

    Straight through, its values are exactly those, and its gradient is that of a sigmoid round the threshold.
    """
    linked = (similarity >= tau).float()
    soft = torch.sigmoid((similarity - tau) / graph.temperature)
    if graph.tau2 is not None:
        linked = torch.where(similarity <= graph.tau2, float(graph.opposite), linked)
        soft = soft + graph.opposite * torch.sigmoid((graph.tau2 - similarity) / graph.temperature)
    values = {"hard": linked, "soft": soft, "straight_through": linked + (soft - soft.detach())}
    itself = torch.eye(similarity.shape[-1], dtype=torch.bool, device=similarity.device)
    return torch.where(itself, float(graph.self_links), values[graph.gradient])


def adjacency_loss(a: Tensor, same: Tensor, literal: bool = False) -> Tensor:
    """(sum M A - sum M)^2 (eq. 6), divided by (sum M)^2 unless literal: wanted links that are missing.

    a and same (M, 1 for equal labels) (N, N) -> scalar. Wrong links cost nothing; A = 1 everywhere gives 0.
    """
    wanted = same.sum()
    missing = (same * a).sum() - wanted
    return (missing if literal else missing / wanted).square()


def propagation(a: Tensor) -> Tensor:
    """P = D^-1/2 (A + I) D^-1/2 with D the row sums of |A + I| (eq. 7): (..., N, N) in float32."""
    own = a.float() + torch.eye(a.shape[-1], device=a.device)
    root = own.abs().sum(dim=-1).rsqrt()
    return root[..., :, None] * own * root[..., None, :]


class Associated(nn.Module):
    """A graph convolution (eq. 8): Z = P X Theta; or, of Kipf's shape, two with ReLU and dropout between.

    Weights begin as Kipf's (Glorot): under torch's default a hidden layer learns a quarter slower.
    """

    def __init__(self, features: int, hidden: int | None, classes: int) -> None:
        super().__init__()
        self.dropped = features if hidden is None else hidden  # width of what dropout is for
        self.first = None if hidden is None else nn.Linear(features, hidden)
        self.second = nn.Linear(self.dropped, classes)
        for layer in (self.first, self.second):
            if layer is not None:
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, p: Tensor | None = None, kept: Tensor | None = None) -> Tensor:
        """x (..., N, D), p (..., N, N) or None for the identity, kept (N, dropped) -> logits (..., N, C)."""
        last = x if self.first is None else torch.relu(_mixed(self.first, x, p))
        return _mixed(self.second, last if kept is None else last * kept, p)


def dropped(seed: Tensor, width: int, share: float) -> Tensor:
    """Dropout by each face's own seed (N,), equal on every rank: factors (N, width)."""
    return (uniform(apart(seed, DROPOUT), width) >= share).float() / (1 - share)


def _mixed(layer: nn.Linear, x: Tensor, p: Tensor | None) -> Tensor:
    if p is None:
        out: Tensor = layer(x)
        return out
    return p @ (x @ layer.weight.T) + layer.bias


def threshold(rows: Tensor, label: Tensor, share: float = 0.5) -> Tensor:
    """A `share` of the way from the mean cosine of pairs of two labels to that of pairs of one: a scalar.

    rows (N, D), label (N,). By sums of unit rows, so that no pair is ever formed. nan where a kind of pair
    does not occur.
    """
    unit = normalize(rows.double(), dim=-1, eps=EPS)
    counts = torch.bincount(label).double()
    sums = torch.zeros(len(counts), rows.shape[1], dtype=torch.float64, device=rows.device)
    sums.index_add_(0, label, unit)
    within = sums.square().sum() - unit.square().sum()
    between = sums.sum(dim=0).square().sum() - sums.square().sum()
    same, other = (counts * (counts - 1)).sum(), counts.sum() ** 2 - counts.square().sum()
    return (1 - share) * between / other + share * within / same


def gallery_rows(
    features: Tensor, label: Tensor, right: Tensor, classes: Sequence[str], per_class: int
) -> Tensor:
    """Row numbers of the training faces that predictions rest on, (classes * per_class,), class by class.

    Of each class those nearest to its mean, first the ones that the network by itself gets right (N, bool); a
    class with fewer faces gives them several times. MienError: it has none.
    """
    chosen = []
    for number, name in enumerate(classes):
        rows = (label == number).nonzero()[:, 0]
        if not len(rows):
            raise MienError(f"{name} has no training face to predict by; make fewer folds or leave it out.")
        own = features[rows]
        distance = (own - own.mean(dim=0)).norm(dim=1)
        order = distance.argsort(stable=True)
        order = order[(~right[rows][order]).int().argsort(stable=True)]
        chosen.append(rows[order[torch.arange(per_class, device=order.device) % len(rows)]])
    return torch.cat(chosen)


def links_found(a: Tensor, label: Tensor) -> Tensor:
    """Share of pairs that are linked, of links that join equal labels, and of equal labels that are linked.

    a (N, N), label (N,) -> (3,); a face's link to itself does not count.
    """
    others = ~torch.eye(len(a), dtype=torch.bool, device=a.device)
    linked, same = (a > 0) & others, (label[:, None] == label) & others
    both = (linked & same).sum()
    parts = torch.stack([linked.sum(), both, both])
    return parts / torch.stack([others.sum(), linked.sum(), same.sum()]).clamp(min=1)


def refuse_dense(density: float, graph: Graph) -> None:
    """MienError where so many pairs are linked that all faces would get one answer."""
    if density > graph.max_density:
        raise MienError(
            f"EAN links {density:.3f} of all pairs, more than methods.ean.graph.max_density of "
            f"{graph.max_density}: all faces would get one answer; centre the features or raise graph.tau."
        )
