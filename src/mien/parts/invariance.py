"""Features that do not change with pose, occlusion and light: EAN's generator and its opponent."""

import math
from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from mien.config import MienError, Section
from mien.parts.augment import uniform
from mien.parts.gathering import gathered
from mien.parts.noise import apart
from mien.parts.statistics import unmoved
from mien.shards.batch import Batch

SLOPE = 0.2
OCCLUDE, RELIGHT, SPOIL = 11, 12, 13  # uses of a face's seed
SMALLEST, LARGEST = 0.1, 0.3  # area of the occluder, as a share of the picture's
GAIN, GAMMA = (0.4, 1.8), (0.6, 1.6)


class Invariance(Section):
    """The generator of invariant features: its discriminator, its weights and where its faces come from."""

    use: bool = True
    corpus: str | None = None  # of known people and views, read beside the faces; None: the faces themselves
    batch_size: int = Field(48, ge=2)  # with a corpus
    people: int = Field(500, ge=2)  # M^d: at least as many as there are
    fake_identity: bool = False  # what is not clean and frontal is nobody to the discriminator (DR-GAN)
    adversarial_weight: float = Field(0.1, ge=0)
    identity_weight: float = Field(0.1, ge=0)
    learning_rate: float = Field(2e-4, gt=0)
    beta_1: float = Field(0.5, ge=0, lt=1)


@dataclass(frozen=True)
class Posed:
    """Faces as the discriminator is to see them."""

    pixels: Tensor  # (N, 3, H, W) in 0..255
    person: Tensor  # (N,) int64, -1 unknown
    pose: Tensor  # (N,) int64: 0 clean and frontal, 1 not, -1 unknown


def posed(pixels: Tensor, faces: Batch, people: int) -> Posed:
    """Every second clean frontal face, by its own seed, is occluded and relit, and so is none any more.

    pixels (N, 3, H, W) of the faces. MienError: nothing is known of people and views, or more than `people`.
    """
    person, clean = faces.subject, faces.clean
    if person is None or clean is None or bool((clean < 0).all()) or bool((person < 0).all()):
        raise MienError(
            "methods.ean.generator needs faces of known people and views, and a whole batch has none; name a "
            "corpus that has them in generator.corpus, or set generator.use: false."
        )
    if bool((person >= people).any()):
        raise MienError(f"methods.ean.generator.people is {people}, but there are more people; raise it.")
    spoilt = (clean == 1) & (uniform(apart(faces.seed, SPOIL), 1)[:, 0] < 0.5)
    degraded = relit(occluded(pixels, faces.seed), faces.seed)
    pose = torch.where(clean < 0, -1, ((clean == 0) | spoilt).long())
    return Posed(torch.where(spoilt[:, None, None, None], degraded, pixels), person, pose)


class Discriminator(nn.Module):
    """D_m: who is it (one class more for nobody), and is it a clean frontal face (eq. 1-2, as DR-GAN has it).

    A mid-level map (N, channels, h, w) -> logits of people (N, people + 1) and of poses (N, 2).
    """

    def __init__(self, channels: int, people: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in ((channels, 2 * channels), (2 * channels, 4 * channels)):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(after)]
            layers += [nn.LeakyReLU(SLOPE)]
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.heads = nn.Linear(4 * channels, people + 1 + 2)

    def forward(self, tapped: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of both heads."""
        both: Tensor = self.heads(self.body(tapped)).float()
        return both[:, :-2], both[:, -2:]

    def learning(self, tapped: Tensor, faces: Posed, how: Invariance) -> dict[str, Tensor]:
        """Its own losses: CE(D^d(h), y_d) + CE(D^f(h), y_f), the map cut from the graph."""
        who, which = self(tapped.detach())
        nobody = torch.where(faces.pose == 1, how.people, faces.person)
        person = nobody if how.fake_identity else faces.person
        return {
            "people": told_apart(who, person, faces.person >= 0),
            "poses": told_apart(which, faces.pose, faces.pose >= 0),
        }

    def deceived(self, tapped: Tensor, faces: Posed, how: Invariance) -> dict[str, Tensor]:
        """What the map's maker wants: who is not clean and frontal (h_1) passes for it, and stays who he is.

        Labels are turned, not the loss's sign: its gradient would vanish where the discriminator is sure.
        """
        with unmoved(self):
            who, which = self(tapped)
        frontal = torch.zeros_like(faces.pose)
        return {
            "adversarial": how.adversarial_weight * told_apart(which, frontal, faces.pose == 1),
            "identity": how.identity_weight * told_apart(who, faces.person, faces.person >= 0),
        }


def occluded(pixels: Tensor, seed: Tensor) -> Tensor:
    """A grey rectangle of 10 to 30 % of the area somewhere on each face, by its own seed.

    pixels (N, 3, H, W) in 0..255, seed (N,) -> the same shape.
    """
    draws = uniform(apart(seed, OCCLUDE), 4)
    area = SMALLEST + (LARGEST - SMALLEST) * draws[:, 0]
    stretch = torch.exp((draws[:, 1] - 0.5) * math.log(4))  # sides from 1:2 to 2:1
    wide, high = (area * stretch).sqrt(), (area / stretch).sqrt()
    left, top = draws[:, 2] * (1 - wide), draws[:, 3] * (1 - high)
    height, width = pixels.shape[-2:]
    x = ((torch.arange(width, device=pixels.device) + 0.5) / width)[None, None, :]
    y = ((torch.arange(height, device=pixels.device) + 0.5) / height)[None, :, None]
    left, top, wide, high = (v[:, None, None] for v in (left, top, wide, high))
    inside = (x >= left) & (x < left + wide) & (y >= top) & (y < top + high)
    return torch.where(inside[:, None], 127.5, pixels)


def relit(pixels: Tensor, seed: Tensor) -> Tensor:
    """Each face under another light, gain 0.4 to 1.8 and gamma 0.6 to 1.6: (N, 3, H, W) in 0..255."""
    draws = uniform(apart(seed, RELIGHT), 2)
    gain, gamma = (
        low + (high - low) * draws[:, i, None, None, None] for i, (low, high) in enumerate((GAIN, GAMMA))
    )
    return (255 * gain * (pixels / 255).pow(gamma)).clamp(0, 255)


def mean_where(values: Tensor, chosen: Tensor) -> Tensor:
    """The mean of values (N,) over the chosen faces of the whole batch, as DDP's mean over ranks makes it.

    0, with a gradient of 0, where none is chosen.
    """
    whole, _ = gathered(chosen.float()[:, None])
    ranks = len(whole) // max(len(chosen), 1)
    return torch.where(chosen, values, 0.0).sum() * ranks / whole.sum().clamp(min=1)


def told_apart(logits: Tensor, target: Tensor, chosen: Tensor) -> Tensor:
    """Cross-entropy over the chosen rows; the others' targets may be anything."""
    each = cross_entropy(logits, torch.where(chosen, target, 0), reduction="none")
    return mean_where(each, chosen)
