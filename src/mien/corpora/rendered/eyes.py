"""Eyeballs: spheres where the mesh has its eye, painted with sclera, iris and pupil, and turned towards a
gaze."""

from functools import lru_cache

import cv2
import numpy as np

from mien.corpora.rendered.arrays import Floats, Ints, floats
from mien.corpora.rendered.basis import Basis

RINGS, SEGMENTS = 22, 28
REACH_DEGREES = 110.0  # how far round the ball is meshed: the rest is never seen
TEXTURE = (64, 256)  # rows: 0 to 90 degrees from the pupil, columns: round it
IRIS_DEGREES = 21.5
LOOK_DEGREES = 30.0  # what an eyeLook action of 1 turns the lids for


@lru_cache(maxsize=1)
def _sphere() -> tuple[Floats, Ints, Floats]:
    """Front of a unit sphere with its pole at -y: vertices (n, 3), triangles (t, 3), texture px per corner
    (t, 3, 2)."""
    # denser towards the pupil
    polar = np.radians(REACH_DEGREES) * np.linspace(0, 1, RINGS) ** 1.3
    round_ = np.linspace(0, 2 * np.pi, SEGMENTS + 1)
    a, b = np.meshgrid(polar, round_, indexing="ij")
    vertices = np.stack([np.sin(a) * np.cos(b), -np.cos(a), np.sin(a) * np.sin(b)], axis=-1).reshape(-1, 3)
    place = np.stack(
        [b / (2 * np.pi) * (TEXTURE[1] - 1), np.minimum(a / (np.pi / 2), 1) * (TEXTURE[0] - 1)], axis=-1
    )
    grid = np.arange(a.size).reshape(a.shape)
    p, q, r, s = grid[:-1, :-1].ravel(), grid[1:, :-1].ravel(), grid[1:, 1:].ravel(), grid[:-1, 1:].ravel()
    triangles = np.concatenate([np.stack([p, q, r], 1), np.stack([p, r, s], 1)]).astype(np.int32)
    return vertices.astype(np.float32), triangles, place.reshape(-1, 2)[triangles].astype(np.float32)


def paint_iris(colour: Floats, rng: np.random.Generator) -> Floats:
    """Texture of an eyeball, TEXTURE x 3 linear RGB; `colour` of the iris."""
    rows, columns = TEXTURE
    angle = np.linspace(0, 90, rows, dtype=np.float32)[:, None, None]
    streaks = cv2.GaussianBlur(rng.normal(0, 1, (1, columns)).astype(np.float32), (0, 0), 1.5)[..., None]
    iris = colour * (1 + 0.5 * streaks) * (0.75 + 0.5 * np.exp(-(((angle - 11) / 5) ** 2)))
    ring = _step(angle - IRIS_DEGREES + 2.5, 0.8)
    iris = iris * (1 - 0.75 * ring)
    pupil = 1 - _step(angle - 8.0 * np.float32(rng.uniform(0.8, 1.25)), 0.5)
    iris = iris * (1 - pupil)
    veins = np.clip((angle - 45) / 45, 0, 1)
    sclera = floats([0.74, 0.70, 0.66]) * (1 - veins * floats([0.1, 0.35, 0.35]))
    white = _step(angle - IRIS_DEGREES, 0.5)
    return np.clip(iris * (1 - white) + sclera * white, 0, 1).astype(np.float32) * np.ones(
        (1, columns, 1), np.float32
    )


def _step(x: Floats, width: float) -> Floats:
    """Smooth step from 0 to 1."""
    return floats(0.5 + 0.5 * np.tanh(x / (2 * width)))


def sockets(basis: Basis, neutral: Floats) -> tuple[Floats, Floats]:
    """Centres (2, 3) and radii (2,) of the eyeballs, metres, left first."""
    points = neutral[basis.eyes]
    low, high = points.min(axis=1), points.max(axis=1)
    centres = (low + high) / 2
    radii = np.linalg.norm(points - centres[:, None], axis=2).mean(axis=1)
    return centres.astype(np.float32), radii.astype(np.float32)


def gaze_turn(gaze: tuple[float, float]) -> Floats:
    """Rotation (3, 3) for a gaze in degrees: to the person's left, and up."""
    left, up = np.radians(gaze)
    about_z = np.array([[np.cos(left), -np.sin(left), 0], [np.sin(left), np.cos(left), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(up), np.sin(up)], [0, -np.sin(up), np.cos(up)]])
    return floats(about_z @ about_x)


def lids_for(gaze: tuple[float, float]) -> dict[str, float]:
    """Facial actions by which the lids follow the gaze (degrees to the person's left, and up)."""
    left, up = (float(np.clip(g / LOOK_DEGREES, -1, 1)) for g in gaze)
    across = {
        "eyeLookOutLeft": left,
        "eyeLookInRight": left,
        "eyeLookInLeft": -left,
        "eyeLookOutRight": -left,
    }
    along = {f"eyeLook{way}{side}": s for way, s in (("Up", up), ("Down", -up)) for side in ("Left", "Right")}
    return {name: value for name, value in (across | along).items() if value > 0}


def eyeballs(
    centres: Floats, radii: Floats, gaze: tuple[float, float]
) -> tuple[Floats, Ints, Floats, Floats]:
    """Both eyeballs in the head's axes: vertices, triangles, normals, texture px per corner."""
    sphere, triangles, corners = _sphere()
    normals = sphere @ gaze_turn(gaze).T
    vertices = np.concatenate([c + 0.985 * r * normals for c, r in zip(centres, radii, strict=True)])
    both = np.concatenate([triangles, triangles + len(sphere)])
    return vertices.astype(np.float32), both, np.tile(normals, (2, 1)), np.tile(corners, (2, 1, 1))
