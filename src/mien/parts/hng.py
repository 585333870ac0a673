"""Hard negative generation: a face with an expression to the same person's neutral face from the front.

Networks and losses of IDFERM, section 3.1 and Algorithm 1 (Liu et al., Pattern Recognition 88, 2019). Grey
faces of 64 px in -1..1. The paper gives the latent's size and the leak; the other sizes follow DCGAN.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, conv2d

from mien.parts.inception_resnet import scaled
from mien.parts.vectors import Fitted

LATENT = 256
LAST_PX = 4
STAGES = (64, 128, 256, 512)


class Generator(nn.Module):
    """Enc and Dec: 9.7 million parameters at width 1."""

    def __init__(self, width: float, slope: float) -> None:
        super().__init__()
        widths = [scaled(c, width) for c in STAGES]
        flat = widths[-1] * LAST_PX**2
        self.encoder = nn.Sequential(*_narrowing(widths, slope), nn.Linear(flat, LATENT))
        up: list[nn.Module] = [nn.Linear(LATENT, flat), nn.LeakyReLU(slope)]
        up.append(nn.Unflatten(1, (widths[-1], LAST_PX, LAST_PX)))
        for before, after in pairwise(widths[::-1]):
            up.append(nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=False))
            up += [nn.BatchNorm2d(after), nn.LeakyReLU(slope)]
        up += [nn.ConvTranspose2d(widths[0], 1, 4, stride=2, padding=1), nn.Tanh()]
        self.decoder = nn.Sequential(*up)

    def forward(self, faces: Tensor) -> Tensor:
        """(N, 1, 64, 64) in -1..1 -> the same."""
        neutral: Tensor = self.decoder(self.encoder(faces))
        return neutral


class Discriminator(nn.Sequential):
    """Dis: the encoder's convolutions and one logit (N, 1), that a face stems from the guiding set."""

    def __init__(self, width: float, slope: float) -> None:
        widths = [scaled(c, width) for c in STAGES]
        super().__init__(*_narrowing(widths, slope), nn.Linear(widths[-1] * LAST_PX**2, 1))


def _narrowing(widths: list[int], slope: float) -> list[nn.Module]:
    layers: list[nn.Module] = [nn.Conv2d(1, widths[0], 4, stride=2, padding=1), nn.LeakyReLU(slope)]
    for before, after in pairwise(widths):
        layers.append(nn.Conv2d(before, after, 4, stride=2, padding=1, bias=False))
        layers += [nn.BatchNorm2d(after), nn.LeakyReLU(slope)]
    return [*layers, nn.Flatten()]


def feature_loss(generated: Tensor, target: Tensor) -> Tensor:
    """Squared difference of a judge's maps (eq. 2), a mean a face: (N, C, H, W) twice -> (N,)."""
    return (generated - target).square().flatten(1).mean(dim=1)


def identity_loss(generated: Tensor, given: Tensor) -> Tensor:
    """Absolute difference of a layer of Light-CNN (eq. 6), a mean a face: (N, ...) twice -> (N,)."""
    return (generated - given).abs().flatten(1).mean(dim=1)


def pixel_loss(generated: Tensor, target: Tensor) -> Tensor:
    """Absolute difference of pixels (eq. 7), a mean a face: (N, 1, H, W) twice -> (N,)."""
    return (generated - target).abs().flatten(1).mean(dim=1)


def symmetry_loss(faces: Tensor) -> Tensor:
    """Absolute difference of the halves, one mirrored (eq. 3), a mean a face: (N, 1, H, W) -> (N,)."""
    half = faces.shape[-1] // 2
    return (faces[..., :half] - faces.flip(-1)[..., :half]).abs().flatten(1).mean(dim=1)


def laplacian(faces: Tensor) -> Tensor:
    """What is left of a picture without its light, for eq. 3: (N, 1, H, W) -> (N, 1, H-2, W-2)."""
    kernel = faces.new_tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])
    return conv2d(faces, kernel[None, None])


def discriminator_loss(guiding: Tensor, generated: Tensor) -> Tensor:
    """-log Dis(g) - log(1 - Dis(x^)) (eq. 4) of logits (N, 1) and (N, 1), a mean over faces."""
    return told(guiding, real=True).mean() + told(generated, real=False).mean()


def told(logits: Tensor, real: bool) -> Tensor:
    """-log of the probability of being real, or of not being it: (N, 1) -> (N,). Eq. 5 with real."""
    wanted = torch.full_like(logits, float(real))
    return binary_cross_entropy_with_logits(logits, wanted, reduction="none")[:, 0]


class Guides(Fitted):
    """The guiding set: one neutral face of each training person, the one most from the front."""

    faces: Tensor  # (P, 1, 64, 64) uint8, people in ascending order
    people: Tensor  # (P,) int64
    sideways: Tensor  # (P,)

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("faces", torch.zeros(0, 1, 64, 64, dtype=torch.uint8))
        self.register_buffer("people", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("sideways", torch.zeros(0))

    def __len__(self) -> int:
        return len(self.people)

    def add(self, faces: Tensor, person: Tensor, sideways: Tensor) -> None:
        """Offer neutral faces (N, 1, 64, 64) in 0..255 of people (N,), each so far from the front (N,)."""
        everyone = torch.cat([self.people, person])
        turned = torch.cat([self.sideways, sideways.abs()])
        order = turned.argsort(stable=True)
        order = order[everyone[order].argsort(stable=True)]
        known = everyone[order]
        first = torch.ones_like(known, dtype=torch.bool)
        first[1:] = known[1:] != known[:-1]
        chosen = order[first & (known >= 0)]
        pictures = torch.cat([self.faces, faces.round().clamp(0, 255).byte()])
        self.keep(faces=pictures[chosen], people=everyone[chosen], sideways=turned[chosen])

    def of(self, person: Tensor) -> tuple[Tensor, Tensor]:
        """The guide of each person (N,) as (N, 1, 64, 64) in -1..1, and whether there is one (N,)."""
        place = torch.searchsorted(self.people, person).clamp(max=len(self) - 1)
        return self._scaled(place), self.people[place] == person

    def drawn(self, share: Tensor) -> Tensor:
        """Guides at these shares (N,) in [0, 1) of the set: (N, 1, 64, 64) in -1..1."""
        return self._scaled((share * len(self)).long())

    def _scaled(self, place: Tensor) -> Tensor:
        return self.faces[place].float() / 127.5 - 1
