"""Painting a person's skin in the atlas: tone, lips, brows, beard, hair, spots, shirt, and the relief of it
all.

Everything is placed in millimetres on the mean head, from the point between the eyes: X to the person's left,
Y backwards, Z up. The mean head is the same for all, so brows and lips move with the skin and never wander
with its shape.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.corpora.rendered.arrays import Floats, floats
from mien.corpora.rendered.atlas import Atlas
from mien.corpora.rendered.basis import Basis
from mien.corpora.rendered.people import Brows, Hair, Person

AXIS_MM = 75.0  # the head's vertical axis lies this far behind the eyes
BROW_MM = 19.5  # height of the middle of the brows above the eyes
_HAIRLINE = (
    [0, 18, 36, 50, 62, 72, 78, 86, 96, 104, 125, 180],
    [64, 63, 58, 46, 22, -4, -16, 10, 8, -14, -48, -62],
)
"""Azimuth in degrees (0 in front, 90 at the ears) and height of an average hairline in millimetres."""


@dataclass(frozen=True)
class Canvas:
    """The atlas in millimetres from the point between the eyes, and fields that every person shares."""

    atlas: Atlas
    mm: Floats  # (H, W, 3)
    azimuth: Floats  # (H, W) degrees, 0 in front, negative on the person's right
    ears: NDArray[np.bool_]


@dataclass(frozen=True)
class Skin:
    """What a person's skin looks like."""

    albedo: Floats  # (H, W, 3) linear RGB
    height: Floats  # (H, W) relief in millimetres


def azimuth_of(mm: Floats) -> Floats:
    """Degrees round the head's vertical axis for points (..., 3) in millimetres."""
    return floats(np.degrees(np.arctan2(mm[..., 0], AXIS_MM - mm[..., 1])))


def ears_of(mm: Floats) -> NDArray[np.bool_]:
    """Points (..., 3) that lie on the ears of the mean head."""
    return (
        (np.abs(mm[..., 0]) > 77)
        & (mm[..., 2] < 9)
        & (mm[..., 2] > -48)
        & (mm[..., 1] > 52)
        & (mm[..., 1] < 102)
    )


def between_eyes(basis: Basis, vertices: Floats) -> Floats:
    """The point (3,) midway between the eyeballs."""
    return floats(vertices[basis.eyes].mean(axis=(0, 1)))


def make_canvas(basis: Basis, atlas: Atlas) -> Canvas:
    """Measure the atlas once."""
    mm = (atlas.place - between_eyes(basis, atlas.mean)) * np.float32(1000)
    return Canvas(atlas, mm, azimuth_of(mm), ears_of(mm))


def hairness(mm: Floats, hair: Hair) -> Floats:
    """Millimetres above the hairline at points (..., 3) of the mean head; negative below and on the ears."""
    azimuth = azimuth_of(mm)
    about = np.abs(azimuth)
    line = np.interp(about, *_HAIRLINE).astype(np.float32)
    front = np.clip(1 - about / 55, 0, 1)
    line += hair.front_mm * np.minimum(1, 2 * front) + hair.slant * mm[..., 0] * front
    line += hair.temples_mm * np.exp(-(((about - 32) / 13) ** 2))
    above = mm[..., 2] - line
    return floats(np.where(ears_of(mm), np.float32(-5), above))


def hair_thickness(mm: Floats, hair: Hair) -> Floats:
    """Millimetres by which the hair lifts the surface at points (..., 3) of the mean head."""
    rise = np.clip(hairness(mm, hair) / 22, 0, 1)
    rise = rise * rise * (3 - 2 * rise)
    top = np.clip((mm[..., 2] - 25) / 60, 0, 1)
    return floats(rise * (hair.sides_mm * (1 - top) + hair.volume_mm * top))


def paint_skin(canvas: Canvas, person: Person) -> Skin:
    """Paint one person (about half a second)."""
    rng = np.random.default_rng([person.seed, person.number, 2])
    mm, atlas = canvas.mm, canvas.atlas
    albedo = _tone(canvas, person, rng)
    height = 0.035 * _noise(rng, albedo.shape[:2], 1.6)
    _blend(albedo, atlas.lips**0.7, person.lips * (1 + 0.1 * _noise(rng, albedo.shape[:2], 1.2)[..., None]))
    _blend(albedo, 0.35 * atlas.eyelids, person.skin * floats([0.62, 0.48, 0.46]))
    height -= 0.12 * atlas.lips * np.abs(_noise(rng, albedo.shape[:2], 1.2))
    _blend(albedo, atlas.mouth, floats([0.10, 0.016, 0.014]))
    sockets = (canvas.mm[..., 1] > -17) & (np.abs(np.abs(mm[..., 0]) - 31) < 22) & (np.abs(mm[..., 2]) < 18)
    sockets &= np.arange(albedo.shape[1]) > 800
    albedo[sockets] = (0.12, 0.03, 0.025)
    _blend(albedo, _beard(canvas, person, rng), 0.8 * person.hair.colour + 0.15 * person.skin)
    _blend(albedo, brow_mask(canvas, person.brows, rng), person.brows.colour)
    _comb(canvas, person.hair, albedo, height, rng)
    neck = mm[..., 2] + 0.2 * np.maximum(0, -mm[..., 1] + 60)
    _blend(albedo, floats(np.clip((-178 - neck) / 3, 0, 1) * atlas.inside), person.shirt)
    return Skin(np.clip(albedo, 0.002, 0.9), height.astype(np.float32))


def _noise(rng: np.random.Generator, shape: tuple[int, int], blur_px: float) -> Floats:
    """Smooth noise of unit deviation; drawn small and enlarged where it is coarse, which is faster."""
    shrink = max(1, int(blur_px / 3))
    small = rng.standard_normal((shape[0] // shrink + 2, shape[1] // shrink + 2), np.float32)
    smooth = floats(cv2.GaussianBlur(small, (0, 0), max(blur_px / shrink, 0.5)))
    smooth /= smooth.std()
    return floats(cv2.resize(smooth, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC))


def _blend(albedo: Floats, mask: Floats, colour: Floats) -> None:
    m = floats(mask)[..., None]
    albedo *= 1 - m
    albedo += m * colour


def _tone(canvas: Canvas, person: Person, rng: np.random.Generator) -> Floats:
    shape = canvas.mm.shape[:2]
    mottle = 0.022 * _noise(rng, shape, 2.5) + 0.03 * _noise(rng, shape, 12) * person.blotches
    red = 0.08 * person.blotches * _noise(rng, shape, 40) + 0.10 * _cheeks(canvas.mm)
    log_red = floats([0.25, -0.9, -0.7])
    albedo = person.skin * np.exp(mottle[..., None] + red[..., None] * log_red * (1 - 0.5 * person.melanin))
    if person.freckles:
        dots = np.clip(_noise(rng, shape, 2.2) - 1.6, 0, 0.6) / 0.6 * np.clip(_cheeks(canvas.mm) * 1.6, 0, 1)
        _blend(albedo, 0.6 * person.freckles * dots, person.skin * floats([0.55, 0.42, 0.35]))
    spots = np.clip(_noise(rng, shape, 5) - 2.7, 0, 0.4) / 0.4
    _blend(albedo, 0.5 * person.wrinkles * spots, person.skin * floats([0.6, 0.48, 0.42]))
    under = np.exp(-(((np.abs(canvas.mm[..., 0]) - 30) / 16) ** 2) - ((canvas.mm[..., 2] + 14) / 6) ** 2)
    under *= 0.1 + 0.25 * min(1.0, person.wrinkles)
    _blend(albedo, floats(under), person.skin * floats([0.62, 0.52, 0.55]))
    return floats(albedo)


def _cheeks(mm: Floats) -> Floats:
    x, z = np.abs(mm[..., 0]), mm[..., 2]
    nose = np.exp(-((x / 13) ** 2) - ((z + 38) / 14) ** 2)
    return floats(np.exp(-(((x - 42) / 20) ** 2) - ((z + 38) / 20) ** 2) + 0.8 * nose)


def brow_mask(canvas: Canvas, brows: Brows, rng: np.random.Generator) -> Floats:
    """Opacity of the eyebrows, (H, W)."""
    mm = canvas.mm
    x, z = np.abs(mm[..., 0]), mm[..., 2]
    along = (x - 11) / brows.length_mm
    arch = np.where(
        along < 0.65, np.sin(np.clip(along / 0.65, 0, 1) * np.pi / 2), 1 - ((along - 0.65) / 0.35) ** 2 * 1.1
    )
    middle = BROW_MM - 3.0 + brows.raise_mm + brows.arch_mm * arch
    half = 0.5 * brows.thickness_mm * np.clip(1.15 - 0.85 * np.clip(along, 0, 1) ** 1.6, 0.1, 1)
    ends = np.clip((along + 0.02) / 0.08, 0, 1) * np.clip((1.02 - along) / 0.10, 0, 1)
    hairs = 0.75 + 0.35 * _strands(canvas.mm[..., 0] * np.sign(mm[..., 0]), z, rng)
    mask = np.clip((half - np.abs(z - middle)) / 1.1 + 0.5, 0, 1) * ends * (mm[..., 1] < 25)
    return floats(np.clip(mask * brows.density * hairs, 0, 1))


def _strands(x: Floats, z: Floats, rng: np.random.Generator) -> Floats:
    """Streaks that lean outwards, about one a millimetre."""
    noise = cv2.GaussianBlur(rng.standard_normal((256, 256), np.float32), (0, 0), sigmaX=0.8, sigmaY=4)
    lean = floats((x - 0.8 * z) * 3) % 255
    return np.asarray(
        cv2.remap(noise / noise.std(), lean, floats(z * 2) % 255, cv2.INTER_LINEAR),
        np.float32,
    )


def _beard(canvas: Canvas, person: Person, rng: np.random.Generator) -> Floats:
    """Opacity of the beard, (H, W)."""
    if person.beard == "none":
        return np.zeros(canvas.mm.shape[:2], np.float32)
    x, y, z = np.abs(canvas.mm[..., 0]), canvas.mm[..., 1], canvas.mm[..., 2]
    cheek_line = np.interp(x, [0, 20, 35, 55, 70, 90], [-52, -54, -66, -52, -30, -20]).astype(np.float32)
    face = (
        np.clip((cheek_line - z) / 7, 0, 1)
        * np.clip((z + 128 + 0.35 * np.maximum(y, 0)) / 12, 0, 1)
        * (y < 88)
    )
    face *= np.clip((72 - np.maximum(0, y)) / 10, 0, 1)
    moustache = np.clip((30 - x) / 6, 0, 1) * np.clip((-51 - z) / 3, 0, 1) * np.clip((z + 74) / 4, 0, 1)
    chin = np.clip((24 - x) / 6, 0, 1) * np.clip((-84 - z) / 4, 0, 1)
    where = {
        "stubble": 0.38 * face,
        "full": 0.95 * face,
        "moustache": 0.9 * moustache,
        "goatee": 0.9 * np.maximum(moustache, chin * face),
    }
    grain = np.clip(0.75 + 0.35 * _noise(rng, x.shape, 1.0), 0, 1.15)
    # hair grows round the lips, not on them
    return np.asarray(
        np.clip(where[person.beard] * grain, 0, 1) * np.clip(1 - 2.5 * canvas.atlas.lips, 0, 1), np.float32
    )


def _comb(canvas: Canvas, hair: Hair, albedo: Floats, height: Floats, rng: np.random.Generator) -> None:
    """Paint the hair and its strands; the line is ragged."""
    mm = canvas.mm
    above = hairness(mm, hair)
    if hair.style == "curly":
        strands = _noise(rng, above.shape, 2.0)
    else:
        noise = cv2.GaussianBlur(rng.standard_normal((512, 1024), np.float32), (0, 0), sigmaX=0.9, sigmaY=14)
        wave = 2.0 * _noise(rng, above.shape, 30)
        across = floats((canvas.azimuth * 4.5 + wave) % 1023)
        down = floats(np.abs(mm[..., 2]) * 2 % 511)
        strands = floats(cv2.remap(noise / noise.std(), across, down, cv2.INTER_LINEAR))
    ragged = above + 1.6 * _noise(rng, above.shape, 6) + 1.2 * strands
    cover = np.clip(ragged / 7 + 0.4, 0, 1) * (0.28 if hair.style == "bald" else 1.0)
    cover *= np.arange(above.shape[1]) < 800
    colour = hair.colour * np.exp(0.35 * np.clip(strands, -2.5, 2.5))[..., None]
    _blend(albedo, cover, colour)
    if hair.style != "bald":
        height += cover * np.where(hair.style == "curly", 1.1, 0.35).astype(np.float32) * strands
