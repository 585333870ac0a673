"""IDFERM: a generated neutral face of the same person is the hard negative of each face with an expression.

Paper: Liu, Kumar, Jia and You, *Hard negative generation for identity-disentangled facial expression
recognition*, Pattern Recognition 88, 2019. It claims 98.35 % on CK+ (7 classes), 97.76 % (8), 81.13 % on MMI,
88.25 % on Oulu-CASIA, with 2K distances in a batch of K where tuplets take O(K^3). Phases: `judges` learn to
tell people apart, `generation` (HNG) learns expressive -> neutral from pairs of one person, `pretraining` and
`fine_tuning` learn expressions: softmax on one branch, radial metric learning (RML) on the other. A face is
judged by the expression branch alone. With `metric_weight: 0` all that is left is softmax.

*Differs from the paper*, and where it is silent:
- The sign of the form H, see `parts/radial.py`; sizes of all networks, see there.
- Pairs come from people of a corpus that have neutral faces; the target of a person is the neutral face most
  from the front, and one in the wild only where there is no other. Of a neutral face the reference is pulled
  as the query is, not pushed away.
- The judges' maps are divided by their root mean square over the guiding set, so that the weights of the
  losses mean the same whoever taught them; the paper's are w1 = .03, w2 = .01, w3 = .3, w4 = .1 (garbled in
  print). Without VGG-Face and Light-CNN weights both are trained here, and the record says so.
- `muon_rate`: in a few hundred steps a generator that learns by Muon makes twice as many faces that are taken
  for neutral as one that learns by Adam.
- One of ten crops is drawn for a face each time it comes, not all ten in turn.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer

from mien.config import Section
from mien.methods.contract import Method, Phase, Schedule
from mien.parts.frontal import aligned, choice, crop, lit_alike
from mien.parts.gathering import gathered
from mien.parts.hard_negatives import (
    DISCRIMINATOR,
    GENERATOR,
    NEUTRAL,
    HardNegatives,
    HNGSettings,
    Stage,
    corpora,
    facing,
)
from mien.parts.inception_resnet import scaled
from mien.parts.metric_learning import FINE_TUNING, MetricLearner, MetricSettings, whole_cross_entropy, world
from mien.parts.muon import Muon
from mien.parts.radial import Quadratic, class_centres, pull, push
from mien.parts.schedule import schedule
from mien.shards.batch import Batch

JUDGES, GENERATION, PRETRAINING = "judges", "generation", "pretraining"


class IDFERMConfig(MetricSettings, HNGSettings):
    """Settings of `methods.idferm`; the defaults are the paper's, or stand in for its silence."""

    metric_weight: float = Field(1.0, ge=0)  # lambda; 0: softmax alone
    pretraining: Stage | None = None  # Multi-PIE in the paper, 300 epochs
    pretraining_batch: int = Field(128, ge=2)
    pretraining_rate: float = Field(0.1, gt=0)
    rank: int = Field(128, ge=1)  # of L_A and L_B, times width


def radial_loss(h_query: Tensor, h_reference: Tensor, together: Tensor, known: Tensor) -> Tensor:
    """Mean over known faces of max(0, 1 - H(f_i, C_yi)) + max(0, 1 + H(f^_i, C_yi)) (eq. 15).

    h_query, h_reference (K,). Where `together` (K,) the reference belongs to the class and is pulled too.
    """
    away = torch.where(together, pull(-h_reference), push(-h_reference))
    return ((pull(-h_query) + away) * known).sum() / known.sum().clamp(min=1)


class IDFERM(MetricLearner, Method):
    """Judges and generator, there from their phases on; network and metric; see the head of this file."""

    Config = IDFERMConfig
    paper = "Liu et al., Hard negative generation for identity-disentangled FER (IDFERM), Pattern Rec. 2019"
    needs = frozenset({"faces", "label", "points", "subject", "clean"})
    variants = {"softmax alone": {"metric_weight": 0.0}}  # noqa: RUF012 - the contract makes it a class variable
    config: IDFERMConfig

    def __init__(self, config: IDFERMConfig, classes: Sequence[str]) -> None:
        super().__init__(config, classes)
        self.hng: HardNegatives | None = None  # there from its phases on
        self.metric: Quadratic | None = None
        if config.metric_weight:
            self.metric = Quadratic(self.network.embedding, scaled(config.rank, config.width))
        else:
            self.needs = MetricLearner.needs
        self._references: dict[str, Tensor] = {}  # key -> (1, 64, 64) uint8, of this phase's training part
        self._sha256: dict[str, str] = {}

    @classmethod
    def files(cls, config: Section) -> Mapping[str, Path]:
        """The files of judges, or of the model to go on from, unless they are trained here or not needed."""
        assert isinstance(config, IDFERMConfig)
        if config.judges_from == "trained" or not config.metric_weight:
            return {}
        named = ("model_file",) if config.judges_from == "model" else ("vgg_file", "light_cnn_file")
        return {name: Path(getattr(config, name)) for name in named}

    def phases(self) -> Sequence[Phase]:
        """Judges, generation on each corpus, pre-training where there is some, fine-tuning."""
        c = self.config
        made: list[Phase] = []
        if c.metric_weight and c.judges_from == "trained":
            j = c.judges
            made.append(Phase(JUDGES, j.epochs, c.generation_batch, label="subject", corpus=j.corpus))
        for number, g in enumerate(c.generation if c.metric_weight else (), start=1):
            name = GENERATION if number == 1 else f"{GENERATION}_{number}"
            made.append(Phase(name, g.epochs, c.generation_batch, corpus=g.corpus, classes=(NEUTRAL,)))
        if p := c.pretraining:
            made.append(
                Phase(PRETRAINING, p.epochs, c.pretraining_batch, corpus=p.corpus, keep="most_accurate")
            )
        last = Phase(FINE_TUNING, c.epochs, self.batch_size, keep="most_accurate", balanced=True)
        return (*made, last)

    def start(self, phase: Phase, labels: int) -> None:
        """Put the networks of a phase in their places."""
        self._references = {}
        if not (phase.name == JUDGES or generates(phase)):
            return
        if self.hng is None:
            self.hng = HardNegatives(self.config, self.config.slope)
            if self.config.judges_from != "trained":
                self._sha256 = self.hng.load("idferm")
        if generates(phase):
            self.hng.begin()
        else:
            self.hng.judges.learn(labels)

    def finish(self, phase: Phase) -> None:
        """Drop classifiers of people, guiding set and references, and the discriminator at the end."""
        self._references = {}
        if self.hng is not None:
            self.hng.judges.heads = None
            self.hng.guides = None
            if phase == [p for p in self.phases() if generates(p)][-1]:
                self.hng.discriminator = None

    def load_state_dict(self, state_dict: Mapping[str, Any], *rest: Any, **named: Any) -> Any:
        """As ever, but a trained model brings judges and generator along."""
        if self.hng is None and any(name.startswith("hng.") for name in state_dict):
            self.hng = HardNegatives(self.config, self.config.slope)
            self.hng.begin()
            self.hng.end()
        return super().load_state_dict(state_dict, *rest, **named)

    def refresh(self, batches: Callable[[], Iterable[Batch]], phase: Phase, epoch: int) -> None:
        """The guiding set, or the references of all training faces: once a phase."""
        if self.hng is None or phase.name == JUDGES:
            return
        if generates(phase):
            self.hng.gather(batches, phase.corpus or "the training part")
        elif not self._references:
            for batch in batches():
                self._references |= dict(zip(batch.keys, self.hng.generated(batch).cpu(), strict=True))

    def moved_by(self, phase: Phase, turn: str) -> Iterable[nn.Parameter]:
        """Judges, generator or discriminator in their phases and turns, then network and metric."""
        if phase.name == JUDGES or generates(phase):
            assert self.hng is not None
            return self.hng.moved_by(turn) if generates(phase) else self.hng.judges.parameters()
        return [*self.network.parameters(), *(self.metric.parameters() if self.metric else ())]

    def turns(self, phase: Phase, step: int) -> Sequence[str]:
        """Generator and discriminator in generation."""
        return (GENERATOR, DISCRIMINATOR) if generates(phase) else ("all",)

    def optimizer(self, phase: Phase, turn: str) -> Optimizer:
        """Adam for judges and generation, or Muon for the generator, then SGD."""
        c = self.config
        if phase.name == JUDGES:
            return Adam(self.moved_by(phase, turn), c.judges_rate)
        if generates(phase) and turn == GENERATOR and c.muon_rate:
            return Muon(self.moved_by(phase, turn), c.muon_rate)
        if generates(phase):
            return Adam(self.moved_by(phase, turn), c.generation_rate, betas=(0.5, 0.999))
        rate = c.pretraining_rate if phase.name == PRETRAINING else c.learning_rate
        return self.clipped_sgd([{"params": list(self.moved_by(phase, turn))}], rate)

    def schedule(self, phase: Phase, turn: str, optimizer: Optimizer) -> Schedule | None:
        """Halve and reload, where expressions are learnt; a cosine for Muon."""
        if isinstance(optimizer, Muon):
            return schedule("cosine", optimizer, phase.epochs)
        return super().schedule(phase, turn, optimizer) if isinstance(optimizer, SGD) else None

    def forward(self, batch: Batch, phase: Phase, turn: str) -> dict[str, Tensor]:
        """The losses of a phase and turn."""
        if phase.name == JUDGES or generates(phase):
            assert self.hng is not None
            if generates(phase):
                return self.hng.losses(batch, turn)
            return self.hng.judges.losses(facing(batch)[0], batch.label)
        return super().forward(batch, phase, turn) if self.metric is None else self._expressions(batch)

    def _expressions(self, batch: Batch) -> dict[str, Tensor]:
        """Softmax of the queries, and RML of queries and references under the same crop and flip (eq. 15)."""
        assert batch.points is not None
        which = choice(batch.seed) if self.training else None
        queries = aligned(batch.faces, batch.points)
        both = torch.cat([crop(queries, which), crop(self._reference(batch, queries.device), which)])
        logits, features = self.network(lit_alike(both))
        self.evaluations, self.passes = 0, len(both) * world()
        query, reference = features.float().chunk(2)
        whole, references = gathered(query)[0], gathered(reference)[0]
        loss = self.metric_loss(torch.cat([whole, references]), gathered(batch.label)[0], batch)
        return {
            "cross_entropy": whole_cross_entropy(logits[: len(batch)], batch.label),
            "metric": self.config.metric_weight * loss,
        }

    def metric_loss(self, features: Tensor, label: Tensor, batch: Batch) -> Tensor:
        """RML of features (2K, D), queries before references; label (K,). 2K distances to K centres."""
        assert self.metric is not None
        queries, references = features.chunk(2)
        centre = class_centres(queries, label, len(self.classes))[label.clamp(min=0)]
        self.metric.evaluations = 0
        h_query, h_reference = -self.metric(queries, centre), -self.metric(references, centre)
        self.evaluations = self.metric.evaluations
        neutral = self.classes.index(NEUTRAL) if NEUTRAL in self.classes else len(self.classes)
        return radial_loss(h_query, h_reference, label == neutral, label >= 0)

    def _reference(self, batch: Batch, device: torch.device) -> Tensor:
        """Those made at the start of the phase; a face that was not among them is made now."""
        if all(key in self._references for key in batch.keys):
            return torch.stack([self._references[key] for key in batch.keys]).to(device).float()
        assert self.hng is not None
        return self.hng.generated(batch).float()

    def validate(self, batch: Batch, phase: Phase) -> tuple[dict[str, Tensor], Tensor | None]:
        """How well people are told apart, or expressions; generation has no held-out loss."""
        if phase.name == JUDGES:
            assert self.hng is not None
            faces, judges = facing(batch)[0], self.hng.judges
            return judges.losses(faces, batch.label), judges.recognise(faces)[1]
        return ({}, None) if generates(phase) else super().validate(batch, phase)

    def record(self) -> dict[str, Any]:
        """Who judged the generated faces, and what an update took."""
        c, taken = self.config, super().record()
        if self.metric is None:
            return {"hard negatives": "none: softmax alone", **taken}
        trained = f"NOT VGG-FACE, NOT LIGHT-CNN'S WEIGHTS: trained here to tell apart {corpora([c.judges])}"
        files = ", ".join(f"{name} {sha256}" for name, sha256 in self._sha256.items())
        judges = trained if c.judges_from == "trained" else files
        pairs = ("what model_file learnt from, then " if c.model_file else "") + corpora(c.generation)
        return {"judges of generated faces": judges, "pairs to neutral from": pairs, **taken}


def generates(phase: Phase) -> bool:
    """Whether hard negatives are learnt in it."""
    return phase.name.startswith(GENERATION)
