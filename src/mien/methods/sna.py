"""SNA: a face whose small semantic change changes the answer is left out of that step's loss.

Paper: Fu, Wu, Li, Pan and Luo, *Semantic Neighborhood-Aware Deep Facial Expression Recognition*, IEEE
Transactions on Image Processing 29 (2020), arXiv 2004.12725. An auto-encoder, refined against a critic, turns
a face I into a neighbour G(E(I) + n); where the classifier answers both differently, Div >= T, the loss of I
counts 0 in this step. It claims 62.7 % on AffectNet (61.3 % without), 98.58 % on CK+, 87.6 % on
Oulu-CASIA. Four phases: the baseline classifier, which is the perceptual net of the third; the auto-encoder;
its refinement; the final classifier, anew, with the mask.

Differs from the paper, where it is silent: the insides of the networks (parts/sna_*.py); the noise is a share
of each dimension's spread of z, chosen as the refinement ends (parts/sna_neighbourhood.py); a constant
threshold is a percentile of Div over the training part after the first epoch, in which nothing is masked;
Div is that of the fused head in evaluation mode (`divergence_mode: train` is the literal reading); the masked
sum is divided by the size of the batch;
perceptual means are per element, on conv3b, conv4 and conv5 of the whole picture's branch. The paper's
SGD and RMSprop want its number of steps; `optimizer: muon` learns faint detail of faces in far fewer. Div
finds a flipped label once it is learnt by heart, whereas a perceptual net had better learn none: `baseline`
may have settings of its own.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.optim import Optimizer

from mien.config import Section
from mien.methods.contract import Method, Phase, Schedule
from mien.parts.augment import Augmentation, augment, uniform
from mien.parts.gathering import gathered
from mien.parts.noise import apart, normal_like
from mien.parts.pictures import Light, grey, resize
from mien.parts.sna_autoencoder import AutoEncoding, Refinement
from mien.parts.sna_classifier import Classification, Scores, TwoScale, answering, rarity, reduced, summed
from mien.parts.sna_mask import divergence, smallest, trusted
from mien.parts.sna_neighbourhood import CRITIC, GENERATOR, Neighbourhood, falling, holds, set_aside, stepping
from mien.parts.sna_tally import Held, Tally
from mien.parts.statistics import unmoved
from mien.parts.weights import load_weights
from mien.shards.batch import Batch

PhaseName = Literal["baseline", "autoencoder", "refinement", "final"]
BASELINE, AUTOENCODER, REFINEMENT, FINAL = "baseline", "autoencoder", "refinement", "final"
ORDER = (BASELINE, AUTOENCODER, REFINEMENT, FINAL)
PIXELS, CHANCE = 2, 3  # uses of a face's seed


class SNAConfig(Section):
    """Settings of `methods.sna`; the defaults are the paper's."""

    input_px: int = Field(112, ge=32, multiple_of=16)
    window: float = Field(1.0, gt=0.2, le=1)  # share of the crop's side that it looks at
    light: Light = "kept"  # evened: faces of one brightness and contrast
    width: float = Field(1.0, gt=0, le=4)  # of the classifier
    autoencoder_width: float = Field(1.0, gt=0, le=4)  # of encoder, decoder and critic
    pool_after: Literal["a", "b"] = "a"  # which convolution of a pair is pooled
    until: PhaseName = "final"  # the last phase that is trained
    weights: str | None = None  # a model that mien saved, whose first phases are taken over
    weights_until: Literal["baseline", "autoencoder", "refinement"] = "refinement"
    classification: Classification = Classification()
    baseline: Classification | None = None  # of the first phase, if not as above
    autoencoder: AutoEncoding = AutoEncoding()
    refinement: Refinement = Refinement()
    threshold: Literal["batch", "constant"] = "batch"  # BT and T of the paper
    constant: float | None = Field(None, gt=0)  # T; null: the percentile below
    constant_percentile: float = Field(80.0, gt=0, le=100)
    reject_by: Literal["divergence", "chance", "loss"] = "divergence"  # the others: as many, but not those
    neighbours: Literal["latent", "pixels"] = "latent"
    noise: float | None = Field(None, ge=0)  # of z, a share of each dimension's spread; null: chosen
    pixel_noise: float = Field(0.1, ge=0)  # its spread where neighbours are pixels in -1..1
    divergence_mode: Literal["eval", "train"] = "eval"
    norm: Literal["batch", "kept", "sum"] = "batch"  # what the masked sum of losses is divided by

    @model_validator(mode="after")
    def _some_phase(self) -> "SNAConfig":
        if self.weights and ORDER.index(self.until) <= ORDER.index(self.weights_until):
            raise ValueError(
                f"until is {self.until}, but weights_until: {self.weights_until} leaves no phase"
            )
        return self


class SNA(Method):
    """The classifier, and while they are needed the auto-encoder, its critic and the baseline."""

    Config = SNAConfig
    paper = "Fu et al., Semantic Neighborhood-Aware Deep Facial Expression Recognition, IEEE TIP 2020"
    needs = frozenset({"faces", "label", "true_label"})
    config: SNAConfig
    bound: Tensor  # (): T
    class_weights: Tensor  # (C,)
    epoch: Tensor  # (), of the phase

    def __init__(self, config: SNAConfig, classes: Sequence[str]) -> None:
        super().__init__(config, classes)
        self.input_px = config.input_px
        self._first = config.baseline or config.classification
        self.classifier = self._classifier(self._first)
        self.aids: dict[str, nn.Module] = {}  # what a loaded model brings and `predict` does not need
        self.register_buffer("bound", torch.tensor(config.constant or math.inf))
        self.register_buffer("class_weights", torch.ones(len(self.classes)))
        self.register_buffer("epoch", torch.tensor(0))
        self._held = Held()
        self._facts: dict[str, float] = {}
        self._phase = ""

    @classmethod
    def files(cls, config: Section) -> Mapping[str, Path]:
        """The model whose phases are taken over, if one is named."""
        assert isinstance(config, SNAConfig)
        return {"weights": Path(config.weights)} if config.weights else {}

    def phases(self) -> Sequence[Phase]:
        """The four phases, less those that a file gives, that come after `until`, or that pixels spare."""
        c = self.config
        every = (
            self._classifying(BASELINE, self._first),
            Phase(AUTOENCODER, c.autoencoder.epochs, c.autoencoder.batch_size),
            Phase(REFINEMENT, c.refinement.epochs, c.refinement.batch_size),
            self._classifying(FINAL, c.classification),
        )
        first = ORDER.index(c.weights_until) + 1 if c.weights else 0
        spared = (AUTOENCODER, REFINEMENT) if c.neighbours == "pixels" else ()
        return [p for p in every[first : ORDER.index(c.until) + 1] if p.name not in spared]

    def _classifying(self, name: str, how: Classification) -> Phase:
        batch = how.faces_per_class * len(self.classes)
        return Phase(name, how.epochs, batch, balanced=how.balancing == "batch")

    def start(self, phase: Phase, labels: int) -> None:
        """Make what the phase trains; before the first one, fill what comes from a file."""
        if self.config.weights and phase == self.phases()[0]:
            self._take_over(self.config.weights)
        if phase.name == AUTOENCODER:
            self.neighbourhood = self._neighbourhood()
        if phase.name == REFINEMENT:
            self.neighbourhood.begin_refinement()
        if phase.name == FINAL:
            self.baseline, self.classifier = self.classifier, self._classifier(self.config.classification)
        self.tally = Tally(len(self.classes))
        self._phase = phase.name

    def finish(self, phase: Phase) -> None:
        """Drop the critic and the counts."""
        if phase.name == REFINEMENT:
            self.neighbourhood.critic = None
        self._facts |= self.tally.flips()
        del self.tally
        self._phase = ""

    def refresh(self, batches: Callable[[], Iterable[Batch]], phase: Phase, epoch: int) -> None:
        """What an epoch rests on: weights of the losses, the spread of z, a threshold from a percentile."""
        c = self.config
        self.tally.new_epoch()
        self.epoch.fill_(epoch)
        if phase.name == REFINEMENT:
            self.neighbourhood.weigh(c.refinement, epoch)
        if c.neighbours == "latent" and (phase.name, epoch) in ((REFINEMENT, phase.epochs - 1), (FINAL, 0)):
            self.neighbourhood.survey(self.pixels(batch) for batch in batches())
        how = self._how(phase)
        if isinstance(how, Classification) and epoch == 0 and how.balancing == "weighted":
            self.class_weights.copy_(rarity((batch.label for batch in batches()), len(self.classes)))
        if phase.name == FINAL and epoch == 1 and c.threshold == "constant" and c.constant is None:
            every = torch.cat([self._divergence(self.pixels(batch), batch.seed) for batch in batches()])
            self.bound.copy_(every.quantile(c.constant_percentile / 100))

    def turns(self, phase: Phase, step: int) -> Sequence[str]:
        """The critic at each step of the first epoch and every tenth later, the generator always."""
        if phase.name != REFINEMENT:
            return ("all",)
        judged = self.epoch == 0 or step % self.config.refinement.critic_every == 0
        return (CRITIC, GENERATOR) if judged else (GENERATOR,)

    def moved_by(self, phase: Phase, turn: str) -> Sequence[nn.Parameter]:
        """The classifier, the auto-encoder, or the network of the turn: the encoder is not refined."""
        if phase.name == AUTOENCODER:
            return list(self.neighbourhood.parameters())
        if phase.name == REFINEMENT:
            return self.neighbourhood.refined_by(turn, self.config.refinement)
        return list(self.classifier.parameters())

    def optimizer(self, phase: Phase, turn: str) -> Optimizer:
        """SGD with momentum, RMSprop for the refinement, or Muon for the auto-encoder and its decoder."""
        moved = list(self.moved_by(phase, turn))
        if phase.name != REFINEMENT:
            return stepping(moved, self._how(phase))
        optimizer = self.neighbourhood.optimizer(turn, self.config.refinement)
        optimizer.register_step_pre_hook(lambda *_: self.tally.pushed(turn, moved))
        return optimizer

    def schedule(self, phase: Phase, turn: str, optimizer: Optimizer) -> Schedule | None:
        """A tenth of the rate every few epochs, or as the settings say; none for the refinement."""
        how = self.config.refinement if phase.name == REFINEMENT else self._how(phase)
        return falling(optimizer, how, phase.epochs)

    def _how(self, phase: Phase) -> AutoEncoding | Classification:
        c = self.config
        return {BASELINE: self._first, FINAL: c.classification}.get(phase.name, c.autoencoder)

    def train(self, mode: bool = True) -> "SNA":
        """As ever, but what this phase does not train stays in evaluation mode."""
        super().train(mode)
        if self._phase in (AUTOENCODER, REFINEMENT):
            self.classifier.eval()
            self.neighbourhood.stand(self.config.autoencoder, self._phase == REFINEMENT, int(self.epoch))
        for name in {"neighbourhood", "baseline"} & set(self._modules) if self._phase == FINAL else ():
            self.get_submodule(name).eval()
        return self

    def forward(self, batch: Batch, phase: Phase, turn: str) -> dict[str, Tensor]:
        """The classifier's masked loss, Loss_AE, or the terms of the critic's or the generator's turn."""
        c = self.config
        how = self._how(phase)
        x = self.pixels(batch, how.augmentation if self.training else None)
        if phase.name == REFINEMENT:
            return self._refining(x, turn)
        if isinstance(how, AutoEncoding):
            return {"autoencoding": self.neighbourhood.autoencoding(x, how)}
        scores = self.classifier(x)
        losses = summed(scores, batch.label, how, self.class_weights)
        total = batch.total or len(batch)
        keep, kept = torch.ones_like(losses), float(total)
        if phase.name == FINAL and self.training:
            keep, kept = self._kept(x, scores, losses.detach(), batch)
        return {"classification": reduced(losses, keep, total, kept, c.norm)}

    @torch.no_grad()
    def _kept(self, x: Tensor, scores: Scores, losses: Tensor, batch: Batch) -> tuple[Tensor, float]:
        """This rank's rows of the mask, and how many faces of the global batch it keeps."""
        div = self._divergence(x, batch.seed, scores.fused)
        chance = uniform(apart(batch.seed, CHANCE), 1)[:, 0]
        true = batch.label if batch.true_label is None else batch.true_label
        flipped = (batch.label != true).float()
        rows, first = gathered(torch.stack([div, losses, chance, batch.label.float(), flipped], dim=1))
        whole = dict(zip(("divergence", "loss", "chance", "label", "flipped"), rows.unbind(1), strict=True))
        threshold = whole["divergence"].mean() if self.config.threshold == "batch" else self.bound
        keep = trusted(whole["divergence"], threshold)
        if self.config.reject_by != "divergence":
            keep = smallest(whole[self.config.reject_by], int(keep.sum()))
        self.tally.count(whole["divergence"], keep, whole["label"].long(), whole["flipped"])
        return keep[first : first + len(x)], float(keep.sum())

    def _divergence(self, x: Tensor, seed: Tensor, said: Tensor | None = None) -> Tensor:
        """Div of each picture and its neighbour, (N,). `said`: fused logits of the training pass."""
        neighbours = self.neighbours(x, seed)
        if self.config.divergence_mode == "train" and said is not None:
            with unmoved(self.classifier):
                return divergence(said, self.classifier(neighbours).fused)
        with answering(self.classifier):
            return divergence(self.classifier(x).fused, self.classifier(neighbours).fused)

    def neighbours(self, x: Tensor, seed: Tensor, noise: float | None = None) -> Tensor:
        """I_tr: pictures (N, 1, H, H) with a small semantic change, drawn by each face's seed (N,)."""
        c = self.config
        if c.neighbours == "pixels":
            spread = c.pixel_noise if noise is None else noise
            return x + spread * normal_like(x, apart(seed, PIXELS))
        near = self._modules.get("neighbourhood") or self.aids["neighbourhood"]
        return cast("Tensor", near(x, seed, noise))

    def _refining(self, x: Tensor, turn: str) -> dict[str, Tensor]:
        """L_D = mean D(fake) - mean D(real), or L_G = lambda_AE Loss_AE + lambda_adv L_adv + Loss_Rec."""
        c = self.config
        if turn == CRITIC:
            real, fake = self.neighbourhood.judged(x)
            if self.training:
                self.tally.judged(*gathered(torch.stack([real, fake], dim=1).detach())[0].unbind(1))
            return {"critic": fake.mean() - real.mean()}
        seen = partial(self.classifier.perceived, halved=c.refinement.perceived == "both")
        return self.neighbourhood.deceiving(x, seen, c.refinement, c.autoencoder.picture_weight)

    def validate(self, batch: Batch, phase: Phase) -> tuple[dict[str, Tensor], Tensor | None]:
        """The unmasked loss and the fused scores, or how far the reconstruction is from the face."""
        x = self.pixels(batch)
        how = self._how(phase)
        if isinstance(how, Classification):
            scores = self.classifier(x)
            if phase.name == FINAL:
                self._hold_neighbours(x, scores.fused, batch.seed)
            losses = summed(scores, batch.label, how, self.class_weights)
            return {"classification": losses.mean()}, scores.fused
        self._held.hold(**self.neighbourhood.likeness(x))
        if phase.name == REFINEMENT and self.config.noise is None and self.epoch == phase.epochs - 1:
            self._held.hold(**self.neighbourhood.kept_classes(x, batch.seed, self.classifier))
        return {"reconstruction": mse_loss(self.neighbourhood.rebuilt(x), x)}, None

    def _hold_neighbours(self, x: Tensor, said: Tensor, seed: Tensor) -> None:
        neighbours, still = self.neighbours(x, seed), self.neighbours(x, seed, noise=0.0)
        div, at_rest = (divergence(said, self.classifier(near).fused) for near in (neighbours, still))
        self._held.hold(divergence=div, divergence_without_noise=at_rest)
        if self.epoch == 0 and "baseline" in self._modules:  # neither moves any more
            self._held.hold(neighbours_named_alike=self.baseline.agrees(x, neighbours))

    def figures(self, phase: Phase) -> Mapping[str, float]:
        """Keep rates, Div with and without noise, the critic's answers, PSNR, sharpness."""
        held = self._held.told(self.bound.device)
        if phase.name == REFINEMENT:
            self.neighbourhood.settle(held)
        self._facts |= held
        return {**self.tally.figures(self.classes), **held}

    def predict(self, batch: Batch) -> Tensor:
        """Softmax probabilities (N, C) of the fused head; no auto-encoder."""
        scores: Scores = self.classifier(self.pixels(batch))
        return scores.fused.float().softmax(dim=1)

    def record(self) -> dict[str, Any]:
        """Which phases were trained, and what they have shown."""
        told = {"trained": [phase.name for phase in self.phases()], **self._facts}
        if "neighbourhood" in self._modules:
            told["noise"] = round(float(self.neighbourhood.noise), 6)  # s in force, a float32
        return told | {"phases_from": self.config.weights or "none"}

    def load_state_dict(self, state_dict: Mapping[str, Any], *how: bool, **named: bool) -> Any:
        """As ever; what `predict` does not need of a finished run goes to `aids`, and is no parameter."""
        rest, first = dict(state_dict), partial(self._classifier, self._first)
        made: dict[str, Callable[[], nn.Module]] = {"neighbourhood": self._neighbourhood, "baseline": first}
        for name in made.keys() - self._modules.keys():
            if aid := set_aside(rest, name, made[name]):
                self.aids[name] = aid.eval()
        return super().load_state_dict(rest, *how, **named)

    def _classifier(self, how: Classification) -> TwoScale:
        c = self.config
        return TwoScale(c.input_px, len(self.classes), c.width, c.pool_after, how.dropout)

    def _neighbourhood(self) -> Neighbourhood:
        c, own = self.config, self.config.autoencoder
        return Neighbourhood(c.input_px, c.autoencoder_width, own.dropout, own.code, c.noise, own.unbent)

    def _take_over(self, file: str) -> None:
        """Fill the networks of the phases that are not trained here."""
        key, until = "methods.sna.weights", self.config.weights_until
        kept = "baseline" if holds(file, "baseline") else "classifier"
        load_weights(self.classifier, file, key, within=kept)
        if until != BASELINE:
            self.neighbourhood = self._neighbourhood().take_over(file, key, refined=until == REFINEMENT)

    def pixels(self, batch: Batch, how: Augmentation | None = None) -> Tensor:
        """Grey faces (N, 1, H, H) in -1..1."""
        c = self.config
        pixels = resize(batch.faces, c.input_px, c.window)
        return grey(augment(pixels, batch.seed, how) if how else pixels, c.light)
