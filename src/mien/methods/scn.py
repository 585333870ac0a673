"""SCN: faces that seem wrongly labelled weigh less, and are given the label that the network sees in them.

Paper: Wang, Peng, Yang, Lu and Qiao, *Suppressing Uncertainties for Large-Scale Facial Expression
Recognition*, CVPR 2020. A learnt weight scales each face's logits (self-attention importance weighting); the
weights of a batch's upper 70 % must exceed the others' by a margin (rank regularisation); after some epochs a
label gives way to a prediction that is surer by a second margin (relabelling).

Differs from the paper, and as its authors' code has it: any face may be relabelled, not only one of the lower
group; Adam with a rate that decays by a tenth an epoch; a new label stays for good. No Gaussian noise is
drawn instead of a flip.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import ExponentialLR

from mien.config import Section
from mien.methods.contract import Method, Phase, Schedule
from mien.parts.augment import Augmentation, augment
from mien.parts.backbones import Backbone
from mien.parts.gathering import gathered
from mien.parts.pictures import Light, normalise, resize
from mien.parts.vectors import Fitted
from mien.parts.weights import load_weights
from mien.shards.batch import Batch
from mien.shards.order import key_hashes


class SCNConfig(Section):
    """Settings of `methods.scn`."""

    input_px: int = Field(224, ge=32)
    width: float = Field(1.0, gt=0, le=4)  # of ResNet-18's stages; 1 is torchvision's
    window: float = Field(1.0, gt=0.2, le=1)  # share of the crop's side that it looks at
    light: Light = "kept"  # evened: grey faces of one brightness and contrast
    weights: str | None = None  # .safetensors or .pt, torchvision's names; no classifier
    upper_share: float = Field(0.7, gt=0, lt=1)  # beta: of a batch, the faces of high importance
    rank_margin: float = Field(0.15, ge=0, lt=1)  # delta_1
    relabel_margin: float = Field(0.2, ge=0, lt=1)  # delta_2
    relabel_from_epoch: int = Field(10, ge=0)
    batch_size: int = Field(64, ge=4)
    epochs: int = Field(70, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    decay: float = Field(0.9, gt=0, le=1)  # of the rate, an epoch
    weight_decay: float = Field(1e-4, ge=0)
    keep: Literal["last", "best"] = "best"
    augmentation: Augmentation = Augmentation(rotation_degrees=0.0, erase=0.5, erase_side=0.5)


def rank_loss(weight: Tensor, upper_share: float, margin: float) -> Tensor:
    """L_RR (eq. 4): max(0, delta_1 - (mean weight of the upper group - mean weight of the others)).

    weight (N,) of a whole batch -> scalar. Both groups have a face at least.
    """
    ordered = weight.sort(descending=True).values
    upper = min(max(int(upper_share * len(weight)), 1), len(weight) - 1)
    return (margin - (ordered[:upper].mean() - ordered[upper:].mean())).clamp(min=0)


def relabelled(logits: Tensor, label: Tensor, margin: float) -> Tensor:
    """Eq. 5: the predicted class where it is surer than the label by more than the margin, else the label.

    logits (N, C), label (N,) -> (N,).
    """
    probability = logits.softmax(dim=1)
    most, predicted = probability.max(dim=1)
    own = probability.gather(1, label[:, None])[:, 0]
    return torch.where(most - own > margin, predicted, label)


def hashes(batch: Batch) -> Tensor:
    """A number (N,) int64 for each face, the same in every epoch and run."""
    return torch.from_numpy(key_hashes(batch.keys).view(np.int64)).to(batch.label.device)


class SCN(Fitted, Method):
    """Backbone, importance and classifier; labels that have changed are a buffer while it trains."""

    Config = SCNConfig
    paper = "Wang et al., Suppressing Uncertainties for Large-Scale FER, CVPR 2020"
    needs = frozenset({"faces", "label", "true_label"})
    config: SCNConfig
    relabels: Tensor  # bool (): whether this epoch relabels
    known: Tensor  # (faces of the training part,) int64, ascending: hashes of their keys; empty when trained
    given: Tensor  # (2, faces) int64: their labels as given, and without label noise
    current: Tensor  # (faces,) int64: the labels in use

    def __init__(self, config: SCNConfig, classes: Sequence[str]) -> None:
        super().__init__(config, classes)
        self.input_px = config.input_px
        self.backbone = Backbone("resnet18", config.width)
        self.importance = nn.Linear(self.backbone.features, 1)
        self.classify = nn.Linear(self.backbone.features, len(classes))
        self.register_buffer("relabels", torch.tensor(False))
        self.register_buffer("known", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("given", torch.zeros(2, 0, dtype=torch.int64))
        self.register_buffer("current", torch.zeros(0, dtype=torch.int64))
        self._weights_sha256: str | None = None
        self._told: dict[str, float] = {}

    @classmethod
    def files(cls, config: Section) -> Mapping[str, Path]:
        """The weight file, if one is named."""
        assert isinstance(config, SCNConfig)
        return {"weights": Path(config.weights)} if config.weights else {}

    def phases(self) -> Sequence[Phase]:
        """One phase."""
        c = self.config
        return (Phase("classification", epochs=c.epochs, batch_size=c.batch_size, keep=c.keep),)

    def start(self, phase: Phase, labels: int) -> None:
        """Load the weight file, all of it but the classifier."""
        if self.config.weights:
            file, key = self.config.weights, "methods.scn.weights"
            self._weights_sha256 = load_weights(self.backbone.network, file, key, within="backbone.network")

    def optimizer(self, phase: Phase, turn: str) -> Optimizer:
        """Adam over everything."""
        c = self.config
        return Adam(self.moved_by(phase, turn), lr=c.learning_rate, weight_decay=c.weight_decay, fused=True)

    def schedule(self, phase: Phase, turn: str, optimizer: Optimizer) -> Schedule | None:
        """A tenth less an epoch."""
        return ExponentialLR(optimizer, self.config.decay)

    def refresh(self, batches: Callable[[], Iterable[Batch]], phase: Phase, epoch: int) -> None:
        """Relabelling begins; the training part is read once to know each face's place."""
        self.relabels.fill_(epoch >= self.config.relabel_from_epoch)
        if len(self.current):
            return
        known: list[Tensor] = []
        given: list[Tensor] = []
        for batch in batches():
            true = batch.label if batch.true_label is None else batch.true_label
            known.append(hashes(batch))
            given.append(torch.stack([batch.label, true]))
        order = torch.cat(known).argsort()
        labels = torch.cat(given, dim=1)[:, order]
        self.keep(known=torch.cat(known)[order], given=labels, current=labels[0].clone())

    def finish(self, phase: Phase) -> None:
        """Forget the labels in use, but not how many have changed."""
        self._told = self._counts()
        self.keep(known=torch.zeros(0), given=torch.zeros(2, 0), current=torch.zeros(0))

    def forward(self, batch: Batch, phase: Phase, turn: str) -> dict[str, Tensor]:
        """Cross-entropy of weighted logits under the labels in use, and rank regularisation."""
        logits, weight = self._seen(batch)
        rows, found = self._rows(batch)
        label = torch.where(found, self.current[rows], batch.label) if len(self.current) else batch.label
        whole, _ = gathered(weight[:, None])
        c = self.config
        if self.training and bool(self.relabels):
            new = torch.stack(
                [found.long(), rows, relabelled(logits.detach(), label, c.relabel_margin)], dim=1
            )
            every, _ = gathered(new)
            every = every[every[:, 0] == 1]
            self.current[every[:, 1]] = every[:, 2]
        return {
            "cross_entropy": cross_entropy(logits, label),
            "rank": rank_loss(whole[:, 0], c.upper_share, c.rank_margin),
        }

    def validate(self, batch: Batch, phase: Phase) -> tuple[dict[str, Tensor], Tensor | None]:
        """The cross-entropy and the scores: held-out labels never change."""
        logits, _ = self._seen(batch)
        return {"cross_entropy": cross_entropy(logits, batch.label)}, logits

    def figures(self, phase: Phase) -> dict[str, float]:
        """How many labels have changed, and how many of these are right now."""
        return self._counts()

    def predict(self, batch: Batch) -> Tensor:
        """Softmax probabilities (N, C) of the weighted logits."""
        return self._seen(batch)[0].softmax(dim=1)

    def record(self) -> dict[str, Any]:
        """Where the weights started, and how many labels were changed."""
        return {"weights": f"file {self._weights_sha256}" if self._weights_sha256 else "random", **self._told}

    def _counts(self) -> dict[str, float]:
        if not len(self.current):
            return {}
        given, true = self.given
        changed = self.current != given
        right = int((changed & (self.current == true)).sum())
        return {"relabelled": float(changed.sum()), "relabelled_rightly": float(right)}

    def _rows(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Where the batch's faces stand in `known` (N,), and whether they do; 0 where nothing is known."""
        own = hashes(batch)
        rows = torch.searchsorted(self.known, own).clamp(max=max(len(self.known) - 1, 0))
        return rows, self.known[rows] == own if len(self.known) else torch.zeros_like(own, dtype=torch.bool)

    def _seen(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Weighted logits (N, C) and weights (N,) in (0, 1): a face of weight 0 is of every class alike."""
        pixels = resize(batch.faces, self.config.input_px, self.config.window)
        if self.training:
            pixels = augment(pixels, batch.seed, self.config.augmentation)
        features = self.backbone(normalise(pixels, self.config.light))
        weight = self.importance(features).float().sigmoid()
        return weight * self.classify(features).float(), weight[:, 0]
