"""Painting a person's skin in the atlas: tone, lips, brows, beard, hair, spots, shirt, and the relief of it
all.

A coat is laid only where it shows: most of them cover a small part of the atlas.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from mien.corpora.rendered.arrays import Floats, floats
from mien.corpora.rendered.canvas import FACE_COLUMNS, Canvas, Patch, hairness, patch_of
from mien.corpora.rendered.people import Brows, Hair, Person
from mien.corpora.rendered.shading import sample

BROW_MM = 19.5  # height of the middle of the brows above the eyes


@dataclass(frozen=True)
class Skin:
    """What a person's skin looks like."""

    albedo: Floats  # (H, W, 3) linear RGB
    height: Floats  # (H, W) relief in millimetres


def paint_skin(canvas: Canvas, person: Person) -> Skin:
    """Paint one person (about a third of a second)."""
    rng = np.random.default_rng([person.seed, person.number, 2])
    shape = canvas.mm.shape[:2]
    lips = canvas.lips
    albedo = _tone(canvas, person, rng)
    height = 0.035 * _noise(rng, shape, 1.6)
    painted = Patch(lips.at, lips.share**0.7)
    _blend(albedo, painted, person.lips, 1 + 0.1 * np.take(_noise(rng, shape, 1.2), lips.at))
    _blend(albedo, canvas.eyelids, person.skin * floats([0.62, 0.48, 0.46]))
    height.ravel()[lips.at] -= 0.12 * lips.share * np.abs(np.take(_noise(rng, shape, 1.2), lips.at))
    _blend(albedo, canvas.mouth, floats([0.10, 0.016, 0.014]))
    albedo[:, canvas.sockets] = floats([0.12, 0.03, 0.025])[:, None]
    if person.beard != "none":
        _blend(albedo, _beard(canvas, person, rng), 0.8 * person.hair.colour + 0.15 * person.skin)
    _blend(albedo, brow_patch(canvas, person.brows, rng), person.brows.colour)
    _comb(canvas, person.hair, albedo, height.ravel(), rng)
    _blend(albedo, canvas.shirt, person.shirt)
    np.clip(albedo, 0.002, 0.9, out=albedo)
    return Skin(cv2.merge(list(albedo.reshape(3, *shape))), height)


def _noise(rng: np.random.Generator, shape: tuple[int, int], blur_px: float) -> Floats:
    """Smooth noise of unit deviation; drawn small and enlarged where it is coarse, which is faster."""
    shrink = max(1, int(blur_px / 3))
    small = rng.standard_normal((shape[0] // shrink + 2, shape[1] // shrink + 2), np.float32)
    smooth = floats(cv2.GaussianBlur(small, (0, 0), max(blur_px / shrink, 0.5)))
    smooth /= smooth.std()
    return floats(cv2.resize(smooth, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC))


def _blend(albedo: Floats, patch: Patch, colour: Floats, shade: Floats | None = None) -> None:
    """Lay a coat of one colour (3,) over `albedo` (3, H * W), or of one that `shade` (n,) makes lighter and
    darker from texel to texel."""
    through = 1 - patch.share
    for plane, level in zip(albedo, colour, strict=True):
        under = np.take(plane, patch.at)
        under *= through
        under += patch.share * (level if shade is None else level * shade)
        plane[patch.at] = under


def _tone(canvas: Canvas, person: Person, rng: np.random.Generator) -> Floats:
    """Bare skin, (3, H * W)."""
    shape = canvas.mm.shape[:2]
    mottle = 0.022 * _noise(rng, shape, 2.5)
    mottle += 0.03 * _noise(rng, shape, 12) * person.blotches
    red = 0.08 * person.blotches * _noise(rng, shape, 40)
    red += 0.10 * canvas.cheeks
    albedo = np.empty((3, mottle.size), np.float32)
    for plane, level, log_red in zip(albedo, person.skin, floats([0.25, -0.9, -0.7]), strict=True):
        tint = red.ravel() * log_red
        tint *= 1 - 0.5 * person.melanin
        tint += mottle.ravel()
        np.multiply(np.exp(tint, out=tint), level, out=plane)
    if person.freckles:
        dots = np.clip(_noise(rng, shape, 2.2) - 1.6, 0, 0.6) / 0.6 * np.clip(canvas.cheeks * 1.6, 0, 1)
        _blend(albedo, patch_of(0.6 * person.freckles * dots), person.skin * floats([0.55, 0.42, 0.35]))
    spots = np.clip(_noise(rng, shape, 5) - 2.7, 0, 0.4) / 0.4
    _blend(albedo, patch_of(0.5 * person.wrinkles * spots), person.skin * floats([0.6, 0.48, 0.42]))
    under = canvas.shadows * (0.1 + 0.25 * min(1.0, person.wrinkles))
    _blend(albedo, patch_of(under), person.skin * floats([0.62, 0.52, 0.55]))
    return albedo


def brow_patch(canvas: Canvas, brows: Brows, rng: np.random.Generator) -> Patch:
    """Opacity of the eyebrows."""
    mm = np.take(canvas.mm.reshape(-1, 3), canvas.brows, axis=0)
    x, z = np.abs(mm[:, 0]), mm[:, 2]
    along = (x - 11) / brows.length_mm
    arch = np.where(
        along < 0.65, np.sin(np.clip(along / 0.65, 0, 1) * np.pi / 2), 1 - ((along - 0.65) / 0.35) ** 2 * 1.1
    )
    middle = BROW_MM - 3.0 + brows.raise_mm + brows.arch_mm * arch
    half = 0.5 * brows.thickness_mm * np.clip(1.15 - 0.85 * np.clip(along, 0, 1) ** 1.6, 0.1, 1)
    ends = np.clip((along + 0.02) / 0.08, 0, 1) * np.clip((1.02 - along) / 0.10, 0, 1)
    hairs = 0.75 + 0.35 * _strands(x, z, rng)
    mask = np.clip((half - np.abs(z - middle)) / 1.1 + 0.5, 0, 1) * ends
    return Patch(canvas.brows, floats(np.clip(mask * brows.density * hairs, 0, 1)))


def _strands(x: Floats, z: Floats, rng: np.random.Generator) -> Floats:
    """Streaks that lean outwards, about one a millimetre."""
    drawn = rng.standard_normal((256, 256), np.float32)
    noise = floats(cv2.GaussianBlur(drawn, (0, 0), sigmaX=0.8, sigmaY=4))
    lean = floats((x - 0.8 * z) * 3) % 255
    noise /= noise.std()
    return sample(noise, np.stack([lean, floats(z * 2) % 255]))[:, 0]


def _beard(canvas: Canvas, person: Person, rng: np.random.Generator) -> Patch:
    """Opacity of the beard."""
    beard = canvas.beard
    where = {
        "stubble": 0.38 * beard.face,
        "full": 0.95 * beard.face,
        "moustache": 0.9 * beard.moustache,
        "goatee": 0.9 * np.maximum(beard.moustache, beard.chin * beard.face),
    }
    noise = _noise(rng, canvas.mm.shape[:2], 1.0)
    grain = np.clip(0.75 + 0.35 * np.take(noise, beard.at), 0, 1.15)
    return Patch(beard.at, floats(np.clip(where[person.beard] * grain, 0, 1) * beard.bare))


def _comb(canvas: Canvas, hair: Hair, albedo: Floats, height: Floats, rng: np.random.Generator) -> None:
    """Paint the hair and its strands over `albedo` (3, H * W) and `height` (H * W,); the line is ragged."""
    above = hairness(canvas.scalp, hair)
    if hair.style == "curly":
        curls = _noise(rng, above.shape, 2.0)
        longest = float(curls.max())
    else:
        drawn = rng.standard_normal((512, 1024), np.float32)
        noise = floats(cv2.GaussianBlur(drawn, (0, 0), sigmaX=0.9, sigmaY=14))
        noise /= noise.std()
        wave = 2.0 * _noise(rng, above.shape, 30)
        longest = float(noise.max())
    rag = _noise(rng, above.shape, 6)
    # further below the line than this no strand reaches
    near = above > -(3 + 1.6 * float(rag.max()) + 1.2 * longest)
    near[:, FACE_COLUMNS:] = False
    at = np.flatnonzero(near)
    if hair.style == "curly":
        strands = np.take(curls, at)
    else:
        across = floats((np.take(canvas.azimuth, at) * 4.5 + np.take(wave, at)) % 1023)
        down = floats(np.abs(np.take(canvas.scalp.z, at)) * 2 % 511)
        strands = sample(noise, np.stack([across, down]))[:, 0]
    ragged = np.take(above, at) + 1.6 * np.take(rag, at) + 1.2 * strands
    cover = np.clip(ragged / 7 + 0.4, 0, 1) * (0.28 if hair.style == "bald" else 1.0)
    _blend(albedo, Patch(at, cover), hair.colour, np.exp(0.35 * np.clip(strands, -2.5, 2.5)))
    if hair.style != "bald":
        height[at] += cover * (1.1 if hair.style == "curly" else 0.35) * strands
