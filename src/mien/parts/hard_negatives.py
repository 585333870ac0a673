"""Hard negative generation as phases of a method: its settings, its networks and IDFERM's Algorithm 1."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, Self

import torch
import torch.distributed as dist
from pydantic import Field, model_validator
from torch import Tensor, nn

from mien.config import MienError, Section
from mien.parts.augment import uniform
from mien.parts.frontal import aligned, mirrored, sideways, turned_left
from mien.parts.gathering import gathered
from mien.parts.hng import (
    Discriminator,
    Generator,
    Guides,
    discriminator_loss,
    feature_loss,
    identity_loss,
    laplacian,
    pixel_loss,
    symmetry_loss,
    told,
)
from mien.parts.judges import Judges
from mien.parts.noise import apart
from mien.parts.statistics import unmoved
from mien.parts.weights import load_weights
from mien.shards.batch import Batch

NEUTRAL = "neutral"
GENERATOR, DISCRIMINATOR = "generator", "discriminator"  # turns
GUIDE = 41  # use of a face's seed
WILD = 10.0  # more than any face is turned
UNIT_FACES = 256  # that the judges' units are measured on


class Stage(Section):
    """A stretch of learning from one corpus."""

    corpus: str | None = None  # None: the experiment's own, its training people only
    epochs: int = Field(20, ge=1)


class HNGSettings(Section):
    """Settings of hard negative generation; the defaults are the paper's, or stand in for its silence."""

    judges_from: Literal["file", "trained", "model"] = "file"
    model_file: str | None = None  # with judges_from: model, an IDFERM whose generator is gone on with
    vgg_file: str = "weights/vgg_face_dag.pth"  # width 1
    light_cnn_file: str = "weights/light_cnn_4.safetensors"  # width 1, 128 px
    judges: Stage = Stage(epochs=30)  # with judges_from: trained
    judges_rate: float = Field(1e-3, gt=0)
    judges_width: float = Field(1.0, gt=0, le=1)
    judges_px: list[int] = Field([112, 128], min_length=2, max_length=2)  # sides seen by VGG, by Light-CNN
    generation: list[Stage] = Field([Stage(epochs=50)], min_length=1)  # in turn, each corpus once
    generation_width: float = Field(1.0, gt=0, le=1)
    generation_batch: int = Field(64, ge=2)
    generation_rate: float = Field(2e-4, gt=0)  # Adam's
    muon_rate: float | None = Field(
        None, gt=0
    )  # the generator learns by Muon, its rate falling to 0 in a phase
    identity_weight: float = Field(0.03, ge=0)  # w1
    pixel_weight: float = Field(0.01, ge=0)  # w2
    symmetry_weight: float = Field(0.3, ge=0)  # w3
    adversarial_weight: float = Field(0.1, ge=0)  # w4
    symmetry_in: Literal["pixels", "laplacian"] = "pixels"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.judges_from == "file" and (self.judges_width, self.judges_px[1]) != (1, 128):
            raise ValueError("judges_from: file needs judges_width 1 and Light-CNN's side in judges_px 128")
        if (self.judges_from == "model") != (self.model_file is not None):
            raise ValueError("judges_from: model and model_file go together")
        corpora = [stage.corpus for stage in self.generation]
        if len(set(corpora)) < len(corpora):
            raise ValueError("generation names a corpus twice")
        return self


class HardNegatives(nn.Module):
    """Judges, generator and, while it learns, discriminator and guiding set."""

    units: Tensor  # (3,) root mean square of phi_5, pool4 and fc1 over the guiding set

    def __init__(self, settings: HNGSettings, slope: float) -> None:
        super().__init__()
        self.settings, self.slope = settings, slope
        self.judges = Judges(settings.judges_px, settings.judges_width)
        self.generator: Generator | None = None
        self.discriminator: Discriminator | None = None
        self.guides: Guides | None = None
        self.register_buffer("units", torch.ones(3))

    def load(self, method: str) -> dict[str, str]:
        """Fill judges, or judges and generator, from their files; the files' SHA-256 by setting.

        MienError names the setting.
        """
        if self.settings.model_file:
            self.generator = Generator(self.settings.generation_width, self.slope)
            key = f"methods.{method}.model_file"
            return {"model_file": load_weights(self, self.settings.model_file, key, within="hng")}
        judges = {"vgg_file": self.judges.vgg, "light_cnn_file": self.judges.light}
        return {
            name: load_weights(judge, getattr(self.settings, name), f"methods.{method}.{name}")
            for name, judge in judges.items()
        }

    def begin(self) -> None:
        """Make ready to generate: an empty guiding set, and networks unless they are there."""
        width = self.settings.generation_width
        self.generator = self.generator or Generator(width, self.slope)
        self.discriminator = self.discriminator or Discriminator(width, self.slope)
        self.guides = Guides()

    def end(self) -> None:
        """Drop what only learning needed."""
        self.discriminator, self.guides = None, None

    def gather(self, batches: Callable[[], Iterable[Batch]], where: str) -> None:
        """Fill an empty guiding set from faces whose label is 0 where they are neutral.

        MienError: none is, of all that `where` names.
        """
        guides = _there(self.guides)
        if len(guides):
            return
        for batch in batches():
            offer(guides, aligned(batch.faces, _there(batch.points)), batch, batch.label == 0)
        if not len(guides):
            raise MienError(
                f"methods.idferm.generation: no known person of {where} has a neutral face, so there are no "
                "pairs; name a corpus that has some."
            )
        faces = guides.faces[:UNIT_FACES].float() / 127.5 - 1
        maps = (self.judges.vgg(faces), *self.judges.light(faces))
        self.units.copy_(torch.stack([m.square().mean().sqrt().clamp(min=1e-6) for m in maps]))

    def moved_by(self, turn: str) -> Iterable[nn.Parameter]:
        """The generator's or the discriminator's parameters."""
        network: nn.Module = _there(self.discriminator if turn == DISCRIMINATOR else self.generator)
        return network.parameters()

    def losses(self, batch: Batch, turn: str) -> dict[str, Tensor]:
        """What a turn minimises."""
        return self._told_apart(batch) if turn == DISCRIMINATOR else self._generation(batch)

    def _generation(self, batch: Batch) -> dict[str, Tensor]:
        """Algorithm 1: what moves Enc and Dec, and what moves Dec alone.

        Symmetry and adversarial loss see the same faces decoded from a latent that is cut off from Enc.
        """
        generator, discriminator = _there(self.generator), _there(self.discriminator)
        s, (faces, mirror) = self.settings, facing(batch)
        target, known = _there(self.guides).of(_there(batch.subject))
        target = mirrored(target, mirror)
        latent = generator.encoder(faces)
        made = generator.decoder(latent)
        with unmoved(generator.decoder, discriminator):
            cut_off = generator.decoder(latent.detach())
            logits = discriminator(cut_off)
        pool4, fc1 = self.judges.light(made)
        with torch.no_grad():
            wanted, (own_pool4, own_fc1) = self.judges.vgg(target), self.judges.light(faces)
        feature = feature_loss(self.judges.vgg(made), wanted) / self.units[0].square()
        identity = (
            identity_loss(pool4, own_pool4) / self.units[1] + identity_loss(fc1, own_fc1) / self.units[2]
        )
        even = laplacian(cut_off) if s.symmetry_in == "laplacian" else cut_off
        return {
            "feature": share_of_mean(feature, known),
            "identity": s.identity_weight * identity.mean(),
            "pixel": s.pixel_weight * share_of_mean(pixel_loss(made, target), known),
            "symmetry": s.symmetry_weight * symmetry_loss(even).mean(),
            "adversarial": s.adversarial_weight * told(logits, real=True).mean(),
        }

    def _told_apart(self, batch: Batch) -> dict[str, Tensor]:
        generator, discriminator = _there(self.generator), _there(self.discriminator)
        with torch.no_grad(), unmoved(generator):
            made = generator(facing(batch)[0])
        guiding = _there(self.guides).drawn(uniform(apart(batch.seed, GUIDE), 1)[:, 0])
        return {"discriminator": discriminator_loss(discriminator(guiding), discriminator(made))}

    def generated(self, batch: Batch) -> Tensor:
        """Each person's neutral face from the front: (N, 1, 64, 64) uint8; running statistics stay."""
        generator, (faces, mirror) = _there(self.generator), facing(batch)
        training = generator.training
        generator.eval()
        with torch.no_grad():
            made = mirrored(generator(faces), mirror)
        generator.train(training)
        return ((made + 1) * 127.5).round().clamp(0, 255).byte()

    def known(self, faces: Tensor) -> Tensor:
        """What Light-CNN makes of people: faces (N, 1, 64, 64) in 0..255 -> unit vectors (N, D)."""
        return nn.functional.normalize(self.judges.light(faces / 127.5 - 1)[1].float(), dim=1)


def facing(batch: Batch) -> tuple[Tensor, Tensor]:
    """Faces (N, 1, 64, 64) in -1..1 with the far side to the right, and which (N,) were mirrored for it."""
    points = _there(batch.points)
    mirror = turned_left(points)
    return mirrored(aligned(batch.faces, points), mirror) / 127.5 - 1, mirror


def offer(guides: Guides, faces: Tensor, batch: Batch, neutral: Tensor) -> None:
    """Offer a batch's neutral faces (N,) to a guiding set, as aligned faces (N, 1, 64, 64) in 0..255.

    A person's guide is the one most from the front; one in the wild only where there is no other (`clean`).
    """
    turned = sideways(_there(batch.points)).abs()
    if batch.clean is not None:
        turned = turned + WILD * (batch.clean == 0)
    guides.add(faces[neutral], _there(batch.subject)[neutral], turned[neutral])


def share_of_mean(per_face: Tensor, known: Tensor) -> Tensor:
    """This rank's share of a mean over the known faces of the whole batch: (N,), (N,) -> scalar."""
    world = dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
    return (per_face * known).sum() * world / gathered(known.long())[0].sum().clamp(min=1)


def corpora(stages: Sequence[Stage]) -> str:
    """Where stages learn from, in words."""
    return ", then ".join(f"corpus {s.corpus}" if s.corpus else "the training people alone" for s in stages)


def _there(thing: Any) -> Any:
    """What must be there by now."""
    assert thing is not None
    return thing
