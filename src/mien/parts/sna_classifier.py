"""SNA's two-scale classifier: network, settings and losses.

Paper: Fu et al., *Semantic Neighborhood-Aware Deep Facial Expression Recognition*, TIP 2020, Table II. Each
branch has a head of its own, since the paper sums three losses; pooling stands right after the first
convolution of a pair, which alone agrees with the printed sizes; the linear layers have no activation.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, channels_last, nn
from torch.nn.functional import avg_pool2d, cross_entropy, max_pool2d

from mien.config import Section
from mien.parts.augment import Augmentation
from mien.parts.sna_autoencoder import STRIDES, scaled


class Classification(Section):
    """How the baseline and the final classifier are trained."""

    epochs: int = Field(50, ge=1)
    faces_per_class: int = Field(9, ge=1)  # a batch of 63 where there are 7 classes, balanced or not
    learning_rate: float = Field(1e-2, gt=0)
    decay_epochs: int = Field(10, ge=1)  # a tenth of the rate from then to then
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(2e-3, ge=0)
    loss: Literal["focal", "cross_entropy"] = "focal"
    focal_gamma: float = Field(2.0, ge=0)
    balancing: Literal["none", "weighted", "batch"] = "batch"
    dropout: float = Field(0.5, ge=0, lt=1)
    augmentation: Augmentation = Augmentation(flip=0.0, rotation_degrees=0.0)


class Branch(nn.Module):
    """One scale of the classifier: stages 1a to 5 and a linear layer (Table II)."""

    def __init__(
        self, side: int, width: float, features: int, pool_after: Literal["a", "b"], dropout: float
    ) -> None:
        super().__init__()
        w = [scaled(n, width) for n in (64, 64, 128, 128, 256, 256, 512, 128)]
        kernels = (5, 5, 3, 3, 3, 3, 3, 1)
        self.convolutions = nn.ModuleList(
            nn.Sequential(nn.Conv2d(i, o, k, padding=k // 2, bias=False), nn.BatchNorm2d(o), nn.ReLU())
            for (i, o), k in zip(itertools.pairwise([1, *w]), kernels, strict=True)
        )
        self.pooled = {0, 2, 4, 6} if pool_after == "a" else {1, 3, 5, 6}
        self.drop = nn.Dropout(dropout)
        self.line = nn.Linear(w[-1] * (side // 2**STRIDES) ** 2, features)

    def maps(self, x: Tensor) -> list[Tensor]:
        """What each of the eight convolutions gives, pooled where it is: 1a, 1b, 2a, 2b, 3a, 3b, 4, 5."""
        found = []
        for number, convolution in enumerate(self.convolutions):
            x = convolution(x).contiguous(memory_format=channels_last)  # the first one's; others keep it
            x = max_pool2d(x, 2) if number in self.pooled else x
            found.append(x)
        return found

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, H, H) -> (N, features)."""
        features: Tensor = self.line(self.drop(self.maps(x)[-1]).flatten(1))
        return features


@dataclass(frozen=True)
class Scores:
    """Logits (N, C) of the three heads; `fused` is the answer."""

    whole: Tensor  # ori
    half: Tensor
    fused: Tensor

    @property
    def heads(self) -> Sequence[Tensor]:
        """All three, in the order of the paper's sum."""
        return (self.whole, self.half, self.fused)


class TwoScale(nn.Module):
    """F: one branch sees the picture, one its half; each has a head, and both together the third."""

    def __init__(
        self,
        side: int,
        classes: int,
        width: float = 1.0,
        pool_after: Literal["a", "b"] = "a",
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        whole, half = scaled(64, width), scaled(32, width)
        self.whole_branch = Branch(side, width, whole, pool_after, dropout)
        self.half_branch = Branch(side // 2, width, half, pool_after, dropout)
        self.heads = nn.ModuleList(nn.Linear(n, classes) for n in (whole, half, whole + half))

    def forward(self, x: Tensor) -> Scores:
        """(N, 1, H, H) -> logits of the three heads."""
        whole, half = self.whole_branch(x), self.half_branch(avg_pool2d(x, 2))
        both = torch.cat([whole, half], dim=1)
        return Scores(*(head(f) for head, f in zip(self.heads, (whole, half, both), strict=True)))

    def agrees(self, x: Tensor, others: Tensor) -> Tensor:
        """1 where it names a picture and another one alike, else 0: (N, 1, H, H) twice -> (N,)."""
        own, theirs = (self(pictures).fused.argmax(dim=1) for pictures in (x, others))
        return torch.eq(own, theirs).float()

    def perceived(self, x: Tensor, halved: bool = False) -> list[Tensor]:
        """The maps of conv3b, conv4 and conv5 of the whole picture's branch, for the perceptual loss.

        halved: then also those of the half picture's branch, on which the answer hangs as much.
        """
        maps = self.whole_branch.maps(x)[5:]
        return maps + self.half_branch.maps(avg_pool2d(x, 2))[5:] if halved else maps


@contextmanager
def answering(network: nn.Module) -> Iterator[None]:
    """A network in evaluation mode for a moment; afterwards each of its modules has the mode that it had."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def focal(logits: Tensor, label: Tensor, gamma: float, weight: Tensor | None = None) -> Tensor:
    """(1 - p)^gamma times the cross-entropy of softmax, a number a face: (N, C), (N,) -> (N,)."""
    entropy = cross_entropy(logits.float(), label, reduction="none")
    loss = (1 - (-entropy).exp()) ** gamma * entropy
    return loss if weight is None else loss * weight[label]


def summed(scores: Scores, label: Tensor, how: Classification, class_weights: Tensor) -> Tensor:
    """The sum of the three heads' losses, (N,); class_weights (C,) are used if the settings say so."""
    gamma = how.focal_gamma if how.loss == "focal" else 0.0
    weight = class_weights if how.balancing == "weighted" else None
    return torch.stack([focal(logits, label, gamma, weight) for logits in scores.heads]).sum(dim=0)


def rarity(labels: Iterable[Tensor], classes: int) -> Tensor:
    """Weights of classes, inverse to their frequency and 1 in the mean: labels (N,) at a time -> (C,)."""
    inverse = 1 / torch.cat(list(labels)).bincount(minlength=classes).clamp_min(1)
    return inverse / inverse.mean()


def reduced(losses: Tensor, keep: Tensor, total: int, kept: float, norm: str) -> Tensor:
    """The masked losses of this rank's rows as the scalar whose mean over ranks is that of the global batch.

    losses and keep (n,); total: faces in the global batch; kept: how many of them are kept.
    """
    share = total / len(losses)
    divisor = {"batch": float(len(losses)), "kept": max(kept, 1.0) / share, "sum": 1 / share}[norm]
    return (keep * losses).sum() / divisor
