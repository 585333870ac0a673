"""The atlas in millimetres, and all fields painted on it that are the same for everybody.

Everything is placed in millimetres on the mean head, from the point between the eyes: X to the person's left,
Y backwards, Z up. The mean head is the same for all, so brows and lips move with the skin and never wander
with its shape.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.corpora.rendered.arrays import Floats, floats
from mien.corpora.rendered.atlas import Atlas
from mien.corpora.rendered.basis import Basis
from mien.corpora.rendered.people import Hair

AXIS_MM = 75.0  # the head's vertical axis lies this far behind the eyes
FACE_COLUMNS = 800  # of the atlas: mouth, sockets and torso lie to the right of them
_HAIRLINE = (
    [0, 18, 36, 50, 62, 72, 78, 86, 96, 104, 125, 180],
    [64, 63, 58, 46, 22, -4, -16, 10, 8, -14, -48, -62],
)
"""Azimuth in degrees (0 in front, 90 at the ears) and height of an average hairline in millimetres."""


@dataclass(frozen=True)
class Patch:
    """A coat of paint: where it is, by number of the texel row by row, and how opaque it is there."""

    at: NDArray[np.intp]  # (n,)
    share: Floats  # (n,) 0 to 1


def patch_of(mask: Floats) -> Patch:
    """Keep the texels that a mask (H, W) touches at all."""
    flat = mask.ravel()
    at = np.flatnonzero(flat)
    return Patch(at, np.take(flat, at))


@dataclass(frozen=True)
class Scalp:
    """What a hairline is reckoned from at points (...)."""

    x: Floats
    z: Floats
    line: Floats  # height of the average hairline there
    front: Floats  # 1 in the middle of the forehead, 0 at the temples
    temples: Floats  # how much a receding hairline recedes there
    ears: NDArray[np.bool_]


@dataclass(frozen=True)
class Beard:
    """Where beards grow: n texels and the shares of each growth there."""

    at: NDArray[np.intp]  # (n,)
    face: Floats
    moustache: Floats
    chin: Floats
    bare: Floats  # 1 but for the lips: hair grows round them, not on them


@dataclass(frozen=True)
class Canvas:
    """The atlas in millimetres from the point between the eyes, and fields that every person shares."""

    atlas: Atlas
    mm: Floats  # (H, W, 3)
    azimuth: Floats  # (H, W) degrees, 0 in front, negative on the person's right
    scalp: Scalp  # (H, W)
    cheeks: Floats  # (H, W) where blood and freckles show
    shadows: Floats  # (H, W) under the eyes
    beard: Beard
    brows: NDArray[np.intp]  # texels that a brow may reach
    lips: Patch
    eyelids: Patch
    mouth: Patch
    shirt: Patch
    sockets: NDArray[np.intp]  # texels of the insides of the eye sockets


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
    """Measure the atlas once (about half a second)."""
    mm = (atlas.place - between_eyes(basis, atlas.mean)) * np.float32(1000)
    x, y, z = np.abs(mm[..., 0]), mm[..., 1], mm[..., 2]
    sockets = (y > -17) & (np.abs(x - 31) < 22) & (np.abs(z) < 18)
    sockets &= np.arange(mm.shape[1]) > FACE_COLUMNS
    neck = z + 0.2 * np.maximum(0, -y + 60)
    return Canvas(
        atlas=atlas,
        mm=mm,
        azimuth=azimuth_of(mm),
        scalp=scalp_of(mm),
        cheeks=_cheeks(x, z),
        shadows=floats(np.exp(-(((x - 30) / 16) ** 2) - ((z + 14) / 6) ** 2)),
        beard=_beard(x, y, z, atlas.lips),
        brows=np.flatnonzero((x > 8) & (x < 62) & (z > -10) & (z < 50) & (y < 25)),
        lips=patch_of(atlas.lips),
        eyelids=patch_of(0.35 * atlas.eyelids),
        mouth=patch_of(atlas.mouth),
        shirt=patch_of(floats(np.clip((-178 - neck) / 3, 0, 1) * atlas.inside)),
        sockets=np.flatnonzero(sockets),
    )


def _cheeks(x: Floats, z: Floats) -> Floats:
    nose = np.exp(-((x / 13) ** 2) - ((z + 38) / 14) ** 2)
    return floats(np.exp(-(((x - 42) / 20) ** 2) - ((z + 38) / 20) ** 2) + 0.8 * nose)


def _beard(x: Floats, y: Floats, z: Floats, lips: Floats) -> Beard:
    cheek_line = np.interp(x, [0, 20, 35, 55, 70, 90], [-52, -54, -66, -52, -30, -20]).astype(np.float32)
    face = (
        np.clip((cheek_line - z) / 7, 0, 1)
        * np.clip((z + 128 + 0.35 * np.maximum(y, 0)) / 12, 0, 1)
        * (y < 88)
    )
    face *= np.clip((72 - np.maximum(0, y)) / 10, 0, 1)
    moustache = np.clip((30 - x) / 6, 0, 1) * np.clip((-51 - z) / 3, 0, 1) * np.clip((z + 74) / 4, 0, 1)
    chin = np.clip((24 - x) / 6, 0, 1) * np.clip((-84 - z) / 4, 0, 1)
    bare = np.clip(1 - 2.5 * lips, 0, 1)
    at = np.flatnonzero(((face > 0) | (moustache > 0)) & (bare > 0))
    return Beard(at, *(floats(np.take(field, at)) for field in (face, moustache, chin, bare)))


def scalp_of(mm: Floats) -> Scalp:
    """Measure points (..., 3) of the mean head for `hairness`."""
    about = np.abs(azimuth_of(mm))
    return Scalp(
        x=np.ascontiguousarray(mm[..., 0]),
        z=np.ascontiguousarray(mm[..., 2]),
        line=np.interp(about, *_HAIRLINE).astype(np.float32),
        front=floats(np.clip(1 - about / 55, 0, 1)),
        temples=floats(np.exp(-(((about - 32) / 13) ** 2))),
        ears=ears_of(mm),
    )


def hairness(scalp: Scalp, hair: Hair) -> Floats:
    """Millimetres above the hairline (...); negative below and on the ears."""
    line = scalp.line + (hair.front_mm * np.minimum(1, 2 * scalp.front) + hair.slant * scalp.x * scalp.front)
    line += hair.temples_mm * scalp.temples
    above = scalp.z - line
    above[scalp.ears] = -5
    return floats(above)


def hair_thickness(mm: Floats, hair: Hair) -> Floats:
    """Millimetres by which the hair lifts the surface at points (..., 3) of the mean head."""
    rise = np.clip(hairness(scalp_of(mm), hair) / 22, 0, 1)
    rise = rise * rise * (3 - 2 * rise)
    top = np.clip((mm[..., 2] - 25) / 60, 0, 1)
    return floats(rise * (hair.sides_mm * (1 - top) + hair.volume_mm * top))
