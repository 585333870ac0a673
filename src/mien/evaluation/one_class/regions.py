"""Where the action units of an expression move a face: regions drawn from its 68 landmarks.

Units of each expression after EMFACS (Ekman and Friesen); which landmarks bound a unit's region is ours.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float32]
Polygon = NDArray[np.float32]
"""(K, 2) corners in px, convex."""

PROTOTYPES: dict[str, tuple[int, ...]] = {
    "happy": (6, 12),
    "sad": (1, 4, 15),
    "surprise": (1, 2, 5, 26),
    "fear": (1, 2, 4, 5, 7, 20, 26),
    "anger": (4, 5, 7, 23),
    "disgust": (9, 15, 16),
}
"""Expression -> action units. Neutral has none."""

EYES_OUTER = (36, 45)
AROUND = np.array([(np.cos(a), np.sin(a)) for a in np.arange(8) * np.pi / 4], dtype=np.float32)


@dataclass(frozen=True)
class Patch:
    """The hull of some landmarks, raised and grown; lengths in distances of the outer eye corners."""

    landmarks: tuple[int, ...]
    grow: float
    up: float = 0.0  # the hull also covers the landmarks moved up by this


LIDS = (Patch((*range(36, 42),), 0.06), Patch((*range(42, 48),), 0.06))
MOUTH = (Patch((*range(48, 60),), 0.07),)
CORNERS = (Patch((48,), 0.17), Patch((54,), 0.17))
CHIN = (Patch((*range(55, 60), 7, 8, 9), 0.02),)
PATCHES: dict[int, tuple[Patch, ...]] = {
    1: (Patch((20, 21, 22, 23), 0.06, up=0.2),),  # inner brow raiser
    2: (Patch((17, 18, 19), 0.06, up=0.2), Patch((24, 25, 26), 0.06, up=0.2)),  # outer brow raiser
    4: (Patch((*range(17, 27), 27), 0.06),),  # brow lowerer
    5: LIDS,  # upper lid raiser
    6: (Patch((36, 41, 40, 31, 2), 0.03), Patch((45, 46, 47, 35, 14), 0.03)),  # cheek raiser
    7: LIDS,  # lid tightener
    9: (Patch((21, 22, *range(27, 36)), 0.04),),  # nose wrinkler
    12: (*MOUTH, *CORNERS),  # lip corner puller
    15: (*CORNERS, *CHIN),  # lip corner depressor
    16: (Patch((*range(54, 61), 64), 0.07),),  # lower lip depressor
    20: (*MOUTH, *CORNERS),  # lip stretcher
    23: MOUTH,  # lip tightener
    26: (*MOUTH, *CHIN),  # jaw drop
}


def polygons(points: Points, expression: str) -> list[Polygon]:
    """The regions of an expression's action units on a face with points (68, 2) in px; none for neutral."""
    side = float(np.linalg.norm(points[EYES_OUTER[0]] - points[EYES_OUTER[1]]))
    patches = dict.fromkeys(patch for unit in PROTOTYPES.get(expression, ()) for patch in PATCHES[unit])
    return [_hull(points[list(patch.landmarks)], patch, side) for patch in patches]


def mask(found: list[Polygon], height: int, width: int) -> NDArray[np.bool_]:
    """(height, width) where any of the polygons lies."""
    covered = np.zeros((height, width), dtype=np.uint8)
    for polygon in found:
        cv2.fillConvexPoly(covered, np.round(polygon).astype(np.int32), 1)
    return covered.astype(np.bool_)


def share_inside(heat: NDArray[np.float32], inside: NDArray[np.bool_]) -> float:
    """Share of a map's heat, (H, W) from 0 up, that lies inside a mask; NaN for a map without any."""
    total = float(heat.sum(dtype=np.float64))
    return float(heat[inside].sum(dtype=np.float64)) / total if total > 0 else float("nan")


def _hull(points: Points, patch: Patch, side: float) -> Polygon:
    raised = points - np.array([0, patch.up * side], dtype=np.float32)
    spread = np.concatenate([points, raised])[:, None] + patch.grow * side * AROUND
    hull: Polygon = cv2.convexHull(spread.reshape(-1, 2).astype(np.float32))[:, 0]
    return hull
