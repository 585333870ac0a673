"""Take one picture of a face: pose it, cast it, develop it, and say exactly where its landmarks are."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.corpora.rendered.arrays import Floats, floats
from mien.corpora.rendered.face import THING, Face
from mien.corpora.rendered.landmarks import points_of
from mien.corpora.rendered.lens import backdrop, develop
from mien.corpora.rendered.occluders import occluder_of
from mien.corpora.rendered.shots import DISTANCE_M, Shot, turn_of
from mien.corpora.rendered.stage import Piece
from mien.corpora.rendered.trace import project, render

PIVOT_M = floats([0.0, 0.075, -0.06])  # the head turns about a point in the neck, from between the eyes
MIDDLE_M = floats([0.0, 0.0, -0.022])  # what the camera looks at, from between the eyes


@dataclass(frozen=True)
class Taken:
    """A picture and its geometry."""

    pixels: NDArray[np.uint8]  # (px, px, 3) sRGB
    points: Floats  # (68, 2) picture px, iBUG order; a pixel's centre has whole-number coordinates


def take(face: Face, units: dict[str, float], lean: dict[str, float], shot: Shot, px: int) -> Taken:
    """Render one picture; the same arguments give the same pixels."""
    rng = np.random.default_rng([shot.stream, 5])
    turn = turn_of(shot)
    gaze = _gaze(shot)
    vertices = face.vertices(units, lean, gaze)
    middle = PIVOT_M + turn @ (MIDDLE_M - PIVOT_M)
    # frame the face wherever its turn has carried it, but for the shift
    aim = floats([0, DISTANCE_M, 0]) - middle * floats([1, 0, 1])
    aim += floats([shot.shift[0], 0, -shot.shift[1]]) * shot.half * DISTANCE_M

    def placed(points: Floats) -> Floats:
        return floats((points - PIVOT_M) @ turn.T + PIVOT_M + aim)

    pieces = face.pieces(vertices, gaze)
    if shot.occluder is not None:
        pieces += occluder_of(shot.occluder, face, vertices, THING, rng)
    turned = [
        Piece(placed(p.vertices), p.triangles, p.normals @ turn.T, p.material, p.corners, p.colours)
        for p in pieces
    ]
    colour, cover = render(turned, face.materials(units, lean), shot.light, px, shot.half, rng, turn)
    behind = backdrop(shot, px, rng)
    picture = develop(colour + behind * (1 - cover[..., None]), shot, rng)
    return Taken(picture, project(placed(points_of(vertices)), px, shot.half))


def _gaze(shot: Shot) -> tuple[float, float]:
    """Degrees in the head's axes that make the eyes meet the camera, as far as eyes turn, plus the shot's
    own."""
    left = np.clip(-shot.yaw, -22, 22) + shot.gaze[0]
    up = np.clip(-shot.pitch, -14, 14) + shot.gaze[1]
    return float(left), float(up)
