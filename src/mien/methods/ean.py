"""EAN: invariant features, and faces classified with the help of faces that look alike.

Paper: Du et al., *Expression Associative Network*, ICIP 2021. A two-headed discriminator of people and poses
on a mid-level map makes a backbone's features invariant; faces whose features' cosine exceeds a threshold are
linked, and a graph convolution over the links classifies them all together.

Differs from the paper, and where it is silent:
- a prediction never reads its neighbours: a face is linked to a gallery of training faces alone (`gallery`).
  Linked to a test batch, it would learn from the order of a sorted test list; that mode is measured in
  `examine`, shuffled, and never deployed;
- hard links have no gradient: theirs is that of a sigmoid (straight through). The adjacency loss is divided
  by the number of wanted links, as its literal form makes everything one class (`graph.loss: literal`);
- the threshold lies between the mean cosines of different and of equal labels when warm-up ends (midway, or
  `graph.tau_share` of the way: of faces never seen, far fewer links midway join equal expressions);
- eq. 1-2 in DR-GAN's manner: the discriminator learns people and poses, the backbone keeps the person and
  makes degraded and turned faces pass for frontal ones;
- warm-up and association are phases, so that the association begins with fresh momentum.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from mien.config import Section
from mien.methods.contract import UPPER_BOUND, Method, Phase, Schedule
from mien.parts.association import (
    Associated,
    Graph,
    adjacency,
    adjacency_loss,
    cosines,
    dropped,
    gallery_rows,
    links_found,
    propagation,
    refuse_dense,
    threshold,
)
from mien.parts.augment import Augmentation, augment
from mien.parts.backbones import Backbone, BackboneName
from mien.parts.gathering import gathered
from mien.parts.invariance import Discriminator, Invariance, Posed, posed
from mien.parts.pictures import Light, normalise, resize
from mien.parts.schedule import schedule
from mien.parts.statistics import running
from mien.parts.transduction import examined
from mien.parts.weights import load_weights
from mien.shards.batch import Batch

WARMUP, ASSOCIATION, GALLERY, ALONE = "warmup", "association", "gallery", "classification"


class EANConfig(Section):
    """Settings of `methods.ean`."""

    backbone: BackboneName = "resnet18"
    width: float = Field(1.0, gt=0, le=4)  # of every layer of the backbone
    weights: str | None = None  # .safetensors or .pt of the backbone, torchvision's names; no classifier
    input_px: int = Field(224, ge=32)
    window: float = Field(1.0, gt=0.2, le=1)  # share of the crop's side that it looks at
    light: Light = "kept"  # evened: grey faces of one brightness and contrast
    generator: Invariance = Invariance()
    graph: Graph = Graph()
    hidden: int | None = Field(256, ge=1)  # of the first of two convolutions; None: one, as eq. 8 is printed
    dropout: float = Field(0.5, ge=0, lt=1)  # of the hidden layer, or of the features where there is none
    batch_size: int = Field(64, ge=2)
    warmup_epochs: int = Field(50, ge=0)  # A = I
    association_epochs: int = Field(50, ge=1)
    optimizer: Literal["sgd", "adamw"] = "sgd"  # adamw: where weights start at random
    learning_rate: float = Field(0.1, gt=0)
    backbone_rate: float = Field(1.0, gt=0, le=1)  # of the learning rate; 0.1 is kinder to given weights
    schedule: Literal["tenths", "cosine"] = "tenths"  # through warm-up and association; cosine: down to 0
    drop_epochs: int = Field(20, ge=1)  # tenths: of the rate after each so many epochs
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(1e-4, ge=0)
    clip_norm: float = Field(5.0, gt=0)  # of the gradient, after warm-up
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    keep: Literal["last", "best"] = "best"
    augmentation: Augmentation = Augmentation()


class EAN(Method):
    """Backbone, generator and association; see the head of this file."""

    Config = EANConfig
    paper = "Du et al., Expression Associative Network, ICIP 2021"
    needs = frozenset({"faces", "label", "true_label", "subject", "clean"})
    config: EANConfig
    tau: Tensor  # (): cosine from which on two faces are linked; nan before it is known
    gallery: Tensor  # (R, D): features of training faces that answers rest on
    gallery_label: Tensor  # (R,)
    gallery_mean: Tensor  # (D,): of all training features

    def __init__(self, config: EANConfig, classes: Sequence[str]) -> None:
        super().__init__(config, classes)
        c, self.input_px = config, config.input_px
        self.backbone = Backbone(c.backbone, c.width)
        self.association = Associated(self.backbone.features, c.hidden, len(classes))
        self.discriminator: Discriminator | None = None  # there while the generator learns
        references, width = c.graph.gallery_per_class * len(classes), self.backbone.features
        self.register_buffer("tau", torch.tensor(float("nan") if c.graph.tau is None else c.graph.tau))
        self.register_buffer("gallery", torch.zeros(references, width))
        self.register_buffer("gallery_label", torch.zeros(references, dtype=torch.int64))
        self.register_buffer("gallery_mean", torch.zeros(width))
        self._weights_sha256: str | None = None
        self._found: list[Tensor] = []  # of each step: density, precision and recall of the links

    @classmethod
    def files(cls, config: Section) -> dict[str, Path]:
        """The weight file, if one is named."""
        assert isinstance(config, EANConfig)
        return {"weights": Path(config.weights)} if config.weights else {}

    def phases(self) -> Sequence[Phase]:
        """Warm-up with A = I, the association, and the choice of the gallery; or classification alone."""
        c, g = self.config, self.config.generator
        beside = g.corpus if g.use else None

        def trained(name: str, epochs: int) -> Phase:
            return Phase(name, epochs, c.batch_size, keep=c.keep, beside=beside, beside_batch=g.batch_size)

        if c.graph.links == "identity":
            return (trained(ALONE, c.warmup_epochs + c.association_epochs),)
        warm = (trained(WARMUP, c.warmup_epochs),) if c.warmup_epochs else ()
        last = Phase(GALLERY, 1, c.batch_size, fits=True)
        return (*warm, trained(ASSOCIATION, c.association_epochs), last)

    def start(self, phase: Phase, labels: int) -> None:
        """Load the weight file and add the discriminator, before the first phase."""
        first = phase.name == self.phases()[0].name
        if first and self.config.weights:
            file, key = self.config.weights, "methods.ean.weights"
            self._weights_sha256 = load_weights(self.backbone.network, file, key, within="backbone.network")
        if self.config.generator.use and first:
            self.discriminator = Discriminator(self.backbone.tapped, self.config.generator.people)

    def finish(self, phase: Phase) -> None:
        """Drop the discriminator when the backbone has learnt."""
        if phase.name in (ASSOCIATION, ALONE):
            self.discriminator = None

    def turns(self, phase: Phase, step: int) -> Sequence[str]:
        """The discriminator's, then everything else's."""
        return ("discriminator", "expression") if self.discriminator is not None else ("expression",)

    def moved_by(self, phase: Phase, turn: str) -> list[nn.Parameter]:
        """The discriminator, or backbone and association."""
        if turn == "discriminator":
            assert self.discriminator is not None
            return list(self.discriminator.parameters())
        return [*self.backbone.parameters(), *self.association.parameters()]

    def optimizer(self, phase: Phase, turn: str) -> Optimizer:
        """Adam for the discriminator; SGD or AdamW, clipped after warm-up, for the rest."""
        c, parameters = self.config, self.moved_by(phase, turn)
        if turn == "discriminator":
            return Adam(parameters, lr=c.generator.learning_rate, betas=(c.generator.beta_1, 0.999))
        groups: list[dict[str, Any]] = [
            {"params": list(self.association.parameters())},
            {"params": list(self.backbone.parameters()), "lr": c.learning_rate * c.backbone_rate},
        ]
        made: Optimizer = AdamW(groups, lr=c.learning_rate, weight_decay=c.weight_decay, fused=True)
        if c.optimizer == "sgd":
            made = SGD(groups, lr=c.learning_rate, momentum=c.momentum, weight_decay=c.weight_decay)
        if phase.name == ASSOCIATION:
            made.register_step_pre_hook(lambda *_: _clip(parameters, c.clip_norm))
        return made

    def schedule(self, phase: Phase, turn: str, optimizer: Optimizer) -> Schedule | None:
        """As the settings say, counted through warm-up and association; none for Adam."""
        c = self.config
        before = c.warmup_epochs if phase.name == ASSOCIATION else 0
        if turn == "discriminator":
            return None
        if c.schedule == "cosine":
            return schedule("cosine", optimizer, c.warmup_epochs + c.association_epochs, before=before)
        return LambdaLR(optimizer, lambda epoch: 0.1 ** ((before + epoch) // c.drop_epochs))

    def refresh(self, batches: Callable[[], Iterable[Batch]], phase: Phase, epoch: int) -> None:
        """Before each epoch of association choose the gallery anew; before the first, the threshold."""
        self._found = []
        if phase.name == ASSOCIATION:
            self._choose(batches(), calibrate=epoch == 0)

    def fit(self, batches: Iterable[Batch], phase: Phase) -> None:
        """The gallery of the finished network."""
        self._found = []
        self._choose(batches, calibrate=False)

    def _choose(self, batches: Iterable[Batch], calibrate: bool) -> None:
        """Threshold, mean and gallery from the whole training part, which every rank sees."""
        seen = [(self._features(b.faces), self._given(b)) for b in batches]
        features, label = (torch.cat(part) for part in zip(*seen, strict=True))
        self.gallery_mean.copy_(features.mean(dim=0))
        if calibrate and self.config.graph.tau is None:
            self.tau.copy_(threshold(self._placed(features), label, self.config.graph.tau_share))
        right = self.association(features).argmax(dim=1) == label
        rows = gallery_rows(features, label, right, self.classes, self.config.graph.gallery_per_class)
        self.gallery.copy_(features[rows])
        self.gallery_label.copy_(label[rows])

    def forward(self, batch: Batch, phase: Phase, turn: str) -> dict[str, Tensor]:
        """The discriminator's losses, or those of expression, links and generator."""
        if turn == "discriminator" and self.discriminator is not None:
            with torch.no_grad():
                tapped, faces = self._people(batch.beside or batch)
            return self.discriminator.learning(tapped, faces, self.config.generator)
        c = self.config
        features = self.backbone(normalise(self._augmented(batch), c.light))
        whole, own = gathered(features)
        seed, _ = gathered(batch.seed[:, None])
        p, terms = None, {}
        if phase.name == ASSOCIATION:
            label, _ = gathered(torch.stack([batch.label, self._given(batch), _true(batch)], dim=1))
            a = self._adjacency(whole, label[:, 1], whole.mean(dim=0))
            p, terms = propagation(a), self._link_terms(a, label[:, 0], label[:, 2])
        kept = dropped(seed[:, 0], self.association.dropped, c.dropout) if self.training else None
        logits = self.association(whole, p, kept)[own : own + len(batch)]
        terms["cross_entropy"] = cross_entropy(logits.float(), batch.label, label_smoothing=c.label_smoothing)
        if self.discriminator is not None:
            terms |= self.discriminator.deceived(*self._people(batch.beside or batch), self.config.generator)
        return terms

    def _link_terms(self, a: Tensor, label: Tensor, true: Tensor) -> dict[str, Tensor]:
        """Adj_loss over the global batch; what the links are worth against true labels is remembered."""
        g = self.config.graph
        self._found.append(links_found(a.detach(), true))
        if g.loss == "none" or g.links == "oracle":
            return {}
        same = (label[:, None] == label).float()
        return {"adjacency": g.loss_weight * adjacency_loss(a, same, literal=g.loss == "literal")}

    def _people(self, faces: Batch) -> tuple[Tensor, Posed]:
        """The mid-level map of faces of known people. It is normalised by running statistics, into which
        other faces than those that show expressions must not leak.
        """
        seen = posed(self._augmented(faces), faces, self.config.generator.people)
        with running(self.backbone):
            return self.backbone.below(normalise(seen.pixels, self.config.light)), seen

    def _adjacency(self, rows: Tensor, label: Tensor, mean: Tensor) -> Tensor:
        """Links of rows (..., N, D): by cosine, or, as an upper bound, by true labels (..., N)."""
        if self.config.graph.links == "oracle":
            return (label[..., :, None] == label[..., None, :]).float()
        return adjacency(cosines(self._placed(rows, mean)), self.tau, self.config.graph)

    def _placed(self, rows: Tensor, mean: Tensor | None = None) -> Tensor:
        mean = self.gallery_mean if mean is None else mean
        return rows.float() - mean.float() if self.config.graph.centred else rows.float()

    def by_itself(self, features: Tensor, label: Tensor) -> Tensor:
        """Logits (N, C) of faces without any link: A = I."""
        logits: Tensor = self.association(features)
        return logits

    def by_gallery(self, features: Tensor, label: Tensor) -> Tensor:
        """Logits (N, C) of faces each of which is linked to the gallery alone (`label` is the oracle's)."""
        rows = torch.cat([features[:, None], self.gallery.expand(features.shape[0], -1, -1)], dim=1)
        labels = torch.cat([label[:, None], self.gallery_label.expand(features.shape[0], -1)], dim=1)
        p = propagation(self._adjacency(rows, labels, self.gallery_mean))
        logits: Tensor = self.association(rows, p)[:, 0]
        return logits

    def by_batch(self, features: Tensor, label: Tensor) -> Tensor:
        """Logits (N, C) of faces linked among each other: for `examine`, never for an answer."""
        p = propagation(self._adjacency(features, label, features.mean(dim=0)))
        logits: Tensor = self.association(features, p)
        return logits

    def validate(self, batch: Batch, phase: Phase) -> tuple[dict[str, Tensor], Tensor | None]:
        """In warm-up each face by itself, then by the gallery chosen before the epoch, or the last one."""
        features = self._features(batch.faces)
        told = self.by_itself if phase.name in (WARMUP, ALONE) else self.by_gallery
        logits = told(features, batch.label)
        return {"cross_entropy": cross_entropy(logits.float(), batch.label)}, logits

    def predict(self, batch: Batch) -> Tensor:
        """Softmax probabilities (N, C), by the gallery where there is one.

        Face by face: in a batch of another size sums may round otherwise, and one picture has one answer.
        """
        return torch.cat([self.at_once(batch.select([number])) for number in range(len(batch))])

    def at_once(self, batch: Batch) -> Tensor:
        """As `predict`, in one pass."""
        answer = self.by_itself if self.config.graph.links == "identity" else self.by_gallery
        return answer(self._features(batch.faces), batch.label).float().softmax(dim=1)

    def figures(self, phase: Phase) -> dict[str, float]:
        """Density, precision and recall of links in training batches. MienError: nearly all are linked."""
        if not self._found:
            return {}
        density, precision, recall = torch.stack(self._found).mean(dim=0).tolist()
        refuse_dense(density, self.config.graph)
        return {"link_density": density, "link_precision": precision, "link_recall": recall}

    def examine(self, batches: Iterable[Batch]) -> dict[str, float]:
        """The other modes of prediction, and how steady answers are, on the test part."""
        modes, linked = {"self": self.by_itself}, self.config.graph.links != "identity"
        modes |= {"gallery": self.by_gallery} if linked else {}
        size = self.config.batch_size
        return examined(batches, self._features, modes, self.by_batch if linked else None, size)

    def record(self) -> dict[str, Any]:
        """Where weights, threshold and links come from."""
        c = self.config
        weights = f"file {self._weights_sha256}" if self._weights_sha256 else "random"
        told = {"weights": weights, "links": c.graph.links, "generator": c.generator.use}
        told |= (
            {UPPER_BOUND: "links by true labels of the test part too"} if c.graph.links == "oracle" else {}
        )
        return told | ({} if c.graph.links != "similarity" else {"tau": float(self.tau)})

    def _features(self, faces: Tensor) -> Tensor:
        pixels = resize(faces, self.config.input_px, self.config.window)
        features: Tensor = self.backbone(normalise(pixels, self.config.light))
        return features.float()

    def _augmented(self, batch: Batch) -> Tensor:
        pixels = resize(batch.faces, self.config.input_px, self.config.window)
        return augment(pixels, batch.seed, self.config.augmentation) if self.training else pixels

    def _given(self, batch: Batch) -> Tensor:
        """The labels that links rest on: the true ones for the oracle alone."""
        return _true(batch) if self.config.graph.links == "oracle" else batch.label


def _true(batch: Batch) -> Tensor:
    return batch.label if batch.true_label is None else batch.true_label


def _clip(parameters: Sequence[nn.Parameter], norm: float) -> None:
    clip_grad_norm_(parameters, norm)
