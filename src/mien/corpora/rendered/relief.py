"""Relief: from heights painted in the atlas to tilts of the surface normal, and the lines that expressions
dig."""

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from mien.corpora.rendered.arrays import Floats, floats
from mien.corpora.rendered.canvas import FACE_COLUMNS, Canvas

STEEPEST = 0.9  # of a tilt: beyond it, island borders and pinched texels would shine
_DEEPEST_MM = 0.42

# Lines as points (X, Z) in millimetres on the mean head's left half, their half-width, and the action units
# that dig
# them. Lines on the middle are drawn on both halves.
_Line = tuple[tuple[tuple[float, float], ...], float]
GROUPS: dict[str, tuple[tuple[str, ...], tuple[_Line, ...]]] = {
    "forehead": (
        ("AU1", "AU2"),
        (
            (((0, 36), (20, 39), (40, 37)), 1.3),
            (((0, 45), (22, 48), (43, 45)), 1.4),
            (((0, 54), (20, 57), (38, 55)), 1.2),
        ),
    ),
    "inner forehead": (("AU1",), ((((0, 33), (14, 35)), 1.2), (((0, 41), (17, 42)), 1.3))),
    "glabella": (("AU4",), ((((5, 10), (6, 20), (8, 29)), 1.2), (((11, 17), (12, 25)), 1.0))),
    "nose root": (
        ("AU9",),
        (
            (((0, 5), (8, 4)), 1.2),
            (((0, 0), (8, -2)), 1.1),
            (((9, -8), (15, -16)), 1.2),
            (((7, -14), (12, -21)), 1.0),
        ),
    ),
    "crow": (
        ("AU6",),
        ((((49, 2), (62, 8)), 0.9), (((50, -2), (64, -2)), 0.9), (((49, -6), (62, -13)), 1.0)),
    ),
    "under eye": (
        ("AU6", "AU7"),
        ((((17, -12), (30, -15), (44, -11)), 1.3), (((20, -18), (32, -22), (46, -18)), 1.6)),
    ),
    "nasolabial": (("AU12", "AU10", "AU9"), ((((17, -36), (24, -46), (31, -58), (35, -72)), 1.9),)),
    "mouth corner": (("AU14", "AU12"), ((((31, -66), (33, -74), (31, -82)), 1.3),)),
    "marionette": (("AU15",), ((((27, -76), (31, -88), (31, -98)), 1.6),)),
    "chin": (
        ("AU17",),
        ((((0, -88), (13, -92)), 1.5), (((5, -98), (12, -104)), 1.4), (((0, -108), (6, -106)), 1.3)),
    ),
}


@dataclass(frozen=True)
class Relief:
    """Fields that turn heights into tilts, and the heights of the lines on the part of the atlas that holds
    the face."""

    across: Floats  # (3, H, W): tilt per unit of slope along columns, per millimetre
    along: Floats  # (3, H, W): the same along rows
    window: tuple[slice, slice]
    lines: Floats  # (2 * groups, h, w) millimetres: left sides, then right sides


def make_relief(canvas: Canvas) -> Relief:
    """Prepare both once (about a second)."""
    place, normal = canvas.mm, canvas.atlas.normal
    step_x = cv2.Sobel(place, cv2.CV_32F, 1, 0, ksize=3, scale=0.125)
    step_y = cv2.Sobel(place, cv2.CV_32F, 0, 1, ksize=3, scale=0.125)
    area = np.einsum("...i,...i->...", normal, np.cross(step_x, step_y))
    sound = cv2.erode(canvas.atlas.inside.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    sound &= np.abs(area) > 1e-3
    share = np.where(sound, 1 / np.where(sound, area, 1), 0)[..., None]
    across = np.ascontiguousarray(np.moveaxis(np.cross(step_y, normal) * share, -1, 0), np.float32)
    along = np.ascontiguousarray(np.moveaxis(np.cross(normal, step_x) * share, -1, 0), np.float32)
    mm = canvas.mm
    face = sound & (mm[..., 1] < 22) & (mm[..., 2] < 72) & (mm[..., 2] > -120) & (np.abs(mm[..., 0]) < 72)
    face &= np.arange(face.shape[1]) < FACE_COLUMNS
    rows, columns = np.flatnonzero(face.any(axis=1)), np.flatnonzero(face.any(axis=0))
    window = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    inside, x, z = face[window], mm[window][..., 0], mm[window][..., 2]
    left = [_dig(lines, x, z) * inside for _, lines in GROUPS.values()]
    right = [_dig(lines, -x, z) * inside for _, lines in GROUPS.values()]
    return Relief(across, along, window, np.stack(left + right).astype(np.float32))


def _dig(lines: tuple[_Line, ...], x: Floats, z: Floats) -> Floats:
    """Grooves of unit depth along lines of one half, (h, w), with a rim on either side."""
    total = np.zeros_like(x)
    for points, half in lines:
        nearest = np.full_like(x, 1e3)
        for (x0, z0), (x1, z1) in pairwise(points):
            dx, dz = x1 - x0, z1 - z0
            t = np.clip(((x - x0) * dx + (z - z0) * dz) / (dx * dx + dz * dz), 0, 1)
            nearest = np.minimum(nearest, np.hypot(x - x0 - t * dx, z - z0 - t * dz))
        total -= np.exp(-((nearest / half) ** 2)) - 0.35 * np.exp(-(((nearest - 2.2 * half) / half) ** 2))
    return floats(total)


def tilt(relief: Relief, height: Floats, into: Floats, window: tuple[slice, slice] | None = None) -> None:
    """Write what heights (h, w) in millimetres add to the unit normal `into` (h, w, 3)."""
    at = window or (slice(None), slice(None))
    slope_x = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3, scale=0.125)
    slope_y = cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3, scale=0.125)
    planes = []
    for across, along in zip(relief.across, relief.along, strict=True):
        rise = slope_x * across[at]
        rise += slope_y * along[at]
        planes.append(np.clip(np.negative(rise, out=rise), -STEEPEST, STEEPEST, out=rise))
    cv2.merge(planes, into)


def line_depths(left: dict[str, float], right: dict[str, float], depth: float) -> Floats:
    """Depth in millimetres of each group on both sides, (2 * groups,).

    `left`, `right`: weight of the action units on each side; `depth`: how lined the person is (0 to about
    1.3). Lines stay visible at rest in proportion to its square: a young face at rest is smooth.
    """
    out = []
    for side in (left, right):
        for units, _ in GROUPS.values():
            active = min(1.0, sum(side.get(u, 0.0) for u in units))
            out.append(_DEEPEST_MM * (0.3 * depth**2 + (0.45 + 0.75 * depth) * active))
    return floats(out)
