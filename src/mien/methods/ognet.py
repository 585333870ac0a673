"""OGNet: a discriminator taught to tell good reconstructions from those of an old, half-trained generator.

Paper: Zaheer, Lee, Astrid and Lee, *Old is Gold: Redefining the Adversarially Learned One-Class Classifier
Training Paradigm*, CVPR 2020. An adversarial denoising auto-encoder is trained first; a copy of its generator
is put by when it is young. Then the discriminator alone goes on: faces and their reconstructions are good
(0), the old generator's and the reconstructions of mixed old ones ("pseudo anomalies") are bad (1).

Differs from the paper, and where it is silent from the authors' code:
- "old" is a generator of 100 updates and "trained" one of 1500, not of the first and fourth epoch: an epoch
  of a few hundred faces is two updates. Optimisers begin anew after the 100th;
- the updates of a phase are counted, whatever the number of faces: they are spread evenly over the batches
  of its epochs, several on one where batches are few (with other noise and other pairs) and none where they
  are many. 75 updates of the discriminator are 75 (that code drops classes of fewer than four batches);
- the two faces of a pseudo anomaly come from one batch, each face being mixed with one further on;
- statistics of the generator's batch norm are frozen when it is; until then one pass an update moves them;
- `input_px` and `channels` scale: at 45 px and 64 channels the generator takes 7.9 GMAC a face.
"""

import copy
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss
from torch.optim import Adam, Optimizer

from mien.config import Section
from mien.methods.contract import Method, Phase
from mien.parts.gathering import gathered
from mien.parts.noise import apart, normal_like
from mien.parts.pictures import resize
from mien.parts.statistics import unmoved
from mien.shards.batch import Batch

KERNEL, STAGES = 5, 4
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
YOUNG, TRAINED, REFINED = "young", "generator", "discriminator"


class OGNetConfig(Section):
    """Settings of `methods.ognet`."""

    input_px: int = Field(45, ge=STAGES * (KERNEL - 1) + 1)
    window: float = Field(1.0, gt=0.2, le=1)  # share of the crop's side that it looks at
    channels: int = Field(64, ge=1)  # of the first stage; each of the next three has twice as many
    noise: float = Field(0.81, ge=0)  # its spread, pixels being in -1..1
    adversarial_share: float = Field(0.5, ge=0, le=1)  # of the generator's loss; the rest is reconstruction
    real_share: float = Field(0.1, ge=0, le=1)  # alpha: of the good, the rest are reconstructions
    old_share: float = Field(0.001, ge=0, le=1)  # beta: of the bad, the rest are pseudo anomalies
    old_updates: int = Field(100, ge=1)  # of the generator, when its copy is put by
    generator_updates: int = Field(1500, ge=2)  # all in all
    discriminator_updates: int = Field(75, ge=1)
    old_epochs: int = Field(10, ge=1)
    generator_epochs: int = Field(140, ge=1)  # after the old ones
    discriminator_epochs: int = Field(10, ge=1)
    batch_size: int = Field(64, ge=2)
    generator_rate: float = Field(1e-3, gt=0)
    discriminator_rate: float = Field(1e-4, gt=0)
    refining_rate: float = Field(5e-5, gt=0)


def judged(logits: Tensor, bad: bool) -> Tensor:
    """Binary cross-entropy of logits (N, 1) that should all say bad (1) or all say good (0): a scalar."""
    return binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(bad)))


def mixed(old: Tensor, draw: int, ranks: bool) -> Tensor:
    """Each picture's mean with another of the batch, another one for each draw (section 3.2.2).

    old (N, ...), without gradient -> (N, ...). With `ranks` the batch is that of all ranks, of which each
    holds as many. A picture alone is mixed with itself.
    """
    whole, first = gathered(old) if ranks else (old, 0)
    further = 1 + draw % max(len(whole) - 1, 1)
    return (old + whole.roll(-further, dims=0)[first : first + len(old)]) / 2


def updates_due(wanted: int, calls: int, call: int) -> int:
    """How many of `wanted` updates fall on call number `call` of `calls`: evenly spread, the first on 0."""
    before, after = (-(-wanted * number // calls) for number in (call, call + 1))
    return after - before


class Generator(nn.Module):
    """Four unpadded 5x5 convolutions down by 16 px and four up again; (N, 1, H, H) -> the same, in -1..1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        widths = [1, *(channels * 2**stage for stage in range(STAGES))]
        down: list[nn.Module] = []
        for stage, (before, after) in enumerate(pairwise(widths)):
            norm, relu = nn.BatchNorm2d(after), nn.ReLU()
            down += [nn.Conv2d(before, after, KERNEL), *((norm, relu) if stage < 2 else (relu, norm))]
        up: list[nn.Module] = []
        for before, after in pairwise(reversed(widths[1:])):
            up += [nn.ConvTranspose2d(before, after, KERNEL), nn.BatchNorm2d(after), nn.ReLU()]
        self.encoder = nn.Sequential(*down)
        self.decoder = nn.Sequential(*up, nn.ConvTranspose2d(widths[1], 1, KERNEL), nn.Tanh())

    def forward(self, pictures: Tensor) -> Tensor:
        """Reconstructions."""
        rebuilt: Tensor = self.decoder(self.encoder(pictures))
        return rebuilt


def discriminator(input_px: int, channels: int) -> nn.Sequential:
    """Four 5x5 convolutions of stride 2 (45 -> 23 -> 12 -> 6 -> 3) and a dense layer: logits (N, 1)."""
    widths = [1, *(channels * 2**stage for stage in range(STAGES))]
    layers: list[nn.Module] = []
    side = input_px
    for stage, (before, after) in enumerate(pairwise(widths)):
        layers += [nn.Conv2d(before, after, KERNEL, stride=2, padding=2)]
        layers += [nn.BatchNorm2d(after)] if stage < STAGES - 1 else []
        layers += [nn.ReLU()]
        side = (side + 1) // 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1] * side**2, 1))


class OGNet(Method):
    """Three phases: the young generator, the generator grown up, the discriminator alone."""

    Config = OGNetConfig
    paper = "Zaheer et al., Old is Gold, CVPR 2020"
    needs = frozenset({"faces"})
    scores = ("discriminator",)
    config: OGNetConfig
    faces: Tensor  # (), int64: in the training part; 0 before it has been counted
    updates: Tensor  # (), int64: updates of this phase so far

    def __init__(self, config: OGNetConfig, classes: Sequence[str]) -> None:
        super().__init__(config, classes)
        self.input_px = config.input_px
        self.generator = Generator(config.channels)
        self.discriminator = discriminator(config.input_px, config.channels)
        self.register_buffer("faces", torch.tensor(0))
        self.register_buffer("updates", torch.tensor(0))

    def phases(self) -> Sequence[Phase]:
        """The epochs say how often the faces are read, the updates how often networks move."""
        c = self.config
        epochs = {YOUNG: c.old_epochs, TRAINED: c.generator_epochs, REFINED: c.discriminator_epochs}
        return [Phase(name, epochs=number, batch_size=c.batch_size) for name, number in epochs.items()]

    def finish(self, phase: Phase) -> None:
        """Put the young generator by as the old one; drop it when the discriminator has seen enough."""
        self.updates.zero_()
        if phase.name == YOUNG:
            self.old_generator = copy.deepcopy(self.generator)
        elif phase.name == REFINED:
            del self.old_generator

    def refresh(self, batches: Callable[[], Iterable[Batch]], phase: Phase, epoch: int) -> None:
        """Count the training faces, once."""
        if not self.faces:
            self.faces.fill_(sum(len(batch) for batch in batches()))

    def turns(self, phase: Phase, step: int) -> Sequence[str]:
        """As many updates as are due on this batch; one before the faces have been counted."""
        c = self.config
        wanted = {
            YOUNG: c.old_updates,
            TRAINED: max(c.generator_updates - c.old_updates, 1),
            REFINED: c.discriminator_updates,
        }[phase.name]
        calls = int(self.faces) // phase.batch_size * phase.epochs
        due = updates_due(wanted, calls, step) if calls else 1
        return (("discriminator",) if phase.name == REFINED else ("discriminator", "generator")) * due

    def moved_by(self, phase: Phase, turn: str) -> Iterable[nn.Parameter]:
        """The network that the turn is named after."""
        return (self.generator if turn == "generator" else self.discriminator).parameters()

    def optimizer(self, phase: Phase, turn: str) -> Optimizer:
        """Adam."""
        c = self.config
        if turn == "generator":
            rate = c.generator_rate
        else:
            rate = c.refining_rate if phase.name == REFINED else c.discriminator_rate
        return Adam(self.moved_by(phase, turn), lr=rate)

    def forward(self, batch: Batch, phase: Phase, turn: str) -> dict[str, Tensor]:
        """The losses of one update of one network."""
        clean = self._clean(batch)
        if phase.name == REFINED:
            terms = self._refining(clean, int(self.updates))
            self.updates += 1
            return terms
        noise = normal_like(clean, apart(batch.seed, 1 + int(self.updates)))
        noisy = (clean + self.config.noise * noise).clamp(-1, 1)
        if turn == "generator":
            self.updates += 1  # the last turn of an update
            return self._generator_terms(noisy, clean)
        with torch.no_grad(), unmoved(self.generator):
            rebuilt = self.generator(noisy)
        return {
            "rebuilt_is_bad": judged(self.discriminator(rebuilt), bad=True) / 2,
            "real_is_good": judged(self.discriminator(clean), bad=False) / 2,
        }

    def _generator_terms(self, noisy: Tensor, clean: Tensor) -> dict[str, Tensor]:
        share, rebuilt = self.config.adversarial_share, self.generator(noisy)
        with unmoved(self.discriminator):
            judgement = self.discriminator(rebuilt)
        return {
            "reconstruction": (1 - share) * mse_loss(rebuilt, clean),
            "deceived": share * judged(judgement, bad=False),
        }

    def _refining(self, clean: Tensor, draw: int) -> dict[str, Tensor]:
        """The second phase's loss (equations 5 to 7)."""
        c = self.config
        for network in (self.generator, self.old_generator):
            network.eval()
        with torch.no_grad():
            good, old = self.generator(clean), self.old_generator(clean)
            pseudo = self.generator(mixed(old, draw, ranks=True))
        return {
            "rebuilt_is_good": (1 - c.real_share) * judged(self.discriminator(good), bad=False),
            "real_is_good": c.real_share * judged(self.discriminator(clean), bad=False),
            "old_is_bad": c.old_share * judged(self.discriminator(old), bad=True),
            "pseudo_is_bad": (1 - c.old_share) * judged(self.discriminator(pseudo), bad=True),
        }

    def validate(self, batch: Batch, phase: Phase) -> tuple[dict[str, Tensor], Tensor | None]:
        """How badly held-out faces are reconstructed, then how bad their reconstructions look."""
        clean = self._clean(batch)
        rebuilt = self.generator(clean)
        if phase.name == REFINED:
            return {"rebuilt_is_good": judged(self.discriminator(rebuilt), bad=False)}, None
        return {"reconstruction": mse_loss(rebuilt, clean)}, None

    def predict(self, batch: Batch) -> Tensor:
        """How bad the discriminator finds the reconstruction (N, 1), in (0, 1)."""
        logits: Tensor = self.discriminator(self.generator(self._clean(batch)))
        return logits.double().sigmoid()

    def record(self) -> dict[str, Any]:
        """Sizes, and how many faces the updates were spread over."""
        return {"input_px": self.input_px, "channels": self.config.channels, "faces": int(self.faces)}

    def _clean(self, batch: Batch) -> Tensor:
        """Grey and in -1..1, (N, 1, H, H)."""
        luma = torch.tensor(LUMA, device=batch.faces.device)[None, :, None, None]
        return (resize(batch.faces, self.input_px, self.config.window) * luma).sum(
            dim=1, keepdim=True
        ) / 127.5 - 1
