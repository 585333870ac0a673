"""Ray casting of one picture with Embree: hits, shadows, ambient light, and colours in linear light.

World: metres, x to the picture's right, y away from the camera, z up; the camera sits at the origin and looks
along +y.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from embreex import rtcore_scene
from embreex.mesh_construction import TriangleMesh
from numpy.typing import NDArray

from mien.corpora.rendered.arrays import Floats, Ints, floats

SAMPLES = 2  # per picture px and axis
_CREEP = floats([1.0, 0.45, 0.3])


@dataclass(frozen=True)
class Piece:
    """A part of the scene: a mesh with one way of colouring."""

    vertices: Floats  # (V, 3)
    triangles: Ints  # (T, 3)
    normals: Floats  # (V, 3) unit
    material: int  # which texture and gloss
    corners: Floats | None = None  # (T, 3, 2) texture px; None: `colours` per vertex
    colours: Floats | None = None  # (V, 3) linear RGB


@dataclass(frozen=True)
class Material:
    """How a piece takes light."""

    gloss: float  # strength of the highlight
    sharpness: float  # exponent of the highlight
    wrap: float  # how far light creeps round into the shade (skin)
    least_open: float = 0.0  # of the light from everywhere that reaches it even in a cavity (teeth)
    texture: Floats | None = None  # (H, W, 3) linear RGB
    relief: Floats | None = None  # (H, W, 3) added to the normal, in the piece's own axes


@dataclass(frozen=True)
class Light:
    """One key light with soft shadows, and light from everywhere."""

    towards: Floats  # (3,) unit vector from the face to the light
    colour: Floats  # (3,) linear RGB
    radius: float  # softness: tangent of the half-angle of the light
    sky: Floats  # (3,) from above
    ground: Floats  # (3,) from below
    fill: Floats  # (3,) from the camera, without shadow


def project(points: Floats, px: int, half: float) -> Floats:
    """World points (N, 3) -> picture px (N, 2); a pixel's centre has whole-number coordinates. `half`:
    tan(fov / 2)."""
    x = points[:, 0] / (points[:, 1] * half)
    y = -points[:, 2] / (points[:, 1] * half)
    return floats(np.stack([x, y], axis=1) * (px / 2) + (px / 2 - 0.5))


@lru_cache(maxsize=2)
def _grid(px: int) -> Floats:
    """Directions (px * px * SAMPLES ** 2, 3) of a camera with a field of view of 90 degrees, row by row; y is
    1."""
    n = px * SAMPLES
    u = (np.arange(n) + 0.5) / n * 2 - 1
    x, z = np.meshgrid(u, -u)
    return np.stack([x, np.ones_like(x), z], axis=-1).reshape(-1, 3).astype(np.float32)


_FAR = 1e37


def _first_hits(scene: rtcore_scene.EmbreeScene, directions: Floats) -> dict[str, NDArray[Any]]:
    """What rays from the camera meet first."""
    far = np.full(len(directions), _FAR, np.float32)
    found: dict[str, NDArray[Any]] = scene.run(np.zeros_like(directions), directions, dists=far, output=1)
    return found


def _free(
    scene: rtcore_scene.EmbreeScene, origins: Floats, directions: Floats, reach: float = _FAR
) -> NDArray[np.bool_]:
    """Which rays nothing blocks within `reach`, (N,)."""
    far = np.full(len(origins), reach, np.float32)
    return np.asarray(scene.run(origins, directions, dists=far, query="OCCLUDED") != 0)


@lru_cache(maxsize=1)
def _dome() -> Floats:
    """Cosine-weighted directions about +z, (16, 3), evenly spread (Fibonacci)."""
    n = 16
    k = np.arange(n) + 0.5
    angle, out = k * 2.399963, np.sqrt(k / n)
    return np.stack([out * np.cos(angle), out * np.sin(angle), np.sqrt(1 - out**2)], axis=1).astype(
        np.float32
    )


def openness(scene: rtcore_scene.EmbreeScene, points: Floats, normals: Floats, reach: float = 0.08) -> Floats:
    """Share of the directions above each point that nothing closer than `reach` metres blocks, (N,)."""
    z = normals
    x = np.cross(z, np.where(np.abs(z[:, :1]) < 0.7, floats([1, 0, 0]), floats([0, 1, 0])))
    x /= np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9)
    y = np.cross(z, x)
    dome = _dome()
    d = dome[:, 0, None, None] * x + dome[:, 1, None, None] * y + dome[:, 2, None, None] * z
    o = np.broadcast_to(points + 4e-4 * z, d.shape)
    free = _free(scene, o.reshape(-1, 3).astype(np.float32), d.reshape(-1, 3).astype(np.float32), reach)
    return np.asarray(free.reshape(len(dome), -1).mean(axis=0, dtype=np.float32))


@dataclass(frozen=True)
class _Hits:
    """What N camera rays met."""

    points: Floats  # (N, 3)
    towards_eye: Floats  # (N, 3) unit
    normal: Floats  # (N, 3) unit
    open: Floats  # (N, 1)
    albedo: Floats  # (N, 3)
    finish: Floats  # (N, 3): gloss, sharpness, wrap


def render(
    pieces: list[Piece],
    materials: list[Material],
    light: Light,
    px: int,
    half: float,
    rng: np.random.Generator,
    turn: Floats,
) -> tuple[Floats, Floats]:
    """Cast one picture: (px, px, 3) linear RGB and (px, px) share of each pixel that the pieces cover.

    `turn`: rotation from the axes in which the materials' relief is given to the world.
    """
    scene = rtcore_scene.EmbreeScene()
    TriangleMesh(scene, np.concatenate([p.vertices[p.triangles] for p in pieces]))
    box = _box(pieces, px * SAMPLES, half)
    inside = _grid(px).reshape(px * SAMPLES, -1, 3)[box]
    directions = np.ascontiguousarray(inside.reshape(-1, 3) * floats([half, 1, half]))
    hits = _first_hits(scene, directions)
    hit = np.flatnonzero(hits["primID"] >= 0)
    met = {
        name: np.take(values, hit) for name, values in hits.items() if name in ("primID", "u", "v", "tfar")
    }
    points = np.take(directions, hit, axis=0) * met["tfar"][:, None]
    seen = _surfaces(pieces, materials, scene, met, points, turn)
    shaded = np.ones((len(hit), 4), np.float32)
    shaded[:, :3] = _shade(scene, light, rng, seen)
    patch = np.zeros((len(directions), 4), np.float32)
    patch[hit] = shaded
    full = np.zeros((px * SAMPLES, px * SAMPLES, 4), np.float32)
    full[box] = patch.reshape(*inside.shape[:2], 4)
    small = cv2.resize(full, (px, px), interpolation=cv2.INTER_AREA)
    return floats(small[..., :3]), floats(small[..., 3])


def _box(pieces: list[Piece], n: int, half: float) -> tuple[slice, slice]:
    """Rows and columns of the n x n samples that the pieces can cover."""
    at = project(np.concatenate([p.vertices for p in pieces]), n, half)
    low = np.clip(np.floor(at.min(axis=0)), 0, n - 1).astype(int)
    high = np.clip(np.ceil(at.max(axis=0)) + 1, 1, n).astype(int)
    return slice(low[1], high[1]), slice(low[0], high[0])


def _surfaces(
    pieces: list[Piece],
    materials: list[Material],
    scene: rtcore_scene.EmbreeScene,
    met: dict[str, NDArray[Any]],
    points: Floats,
    turn: Floats,
) -> _Hits:
    count = len(points)
    normal, albedo, finish = (np.empty((count, 3), np.float32) for _ in range(3))
    open_ = np.empty((count, 1), np.float32)
    first = 0
    for piece in pieces:
        own = np.flatnonzero((met["primID"] >= first) & (met["primID"] < first + len(piece.triangles)))
        which = met["primID"][own] - first
        first += len(piece.triangles)
        if not len(own):
            continue
        material = materials[piece.material]
        values = _between(_corner_table(piece, scene, which), which, met["u"][own], met["v"][own])
        tilted, place = values[:, :3], values[:, 4:]
        if material.texture is not None:
            albedo[own] = sample(material.texture, place)
            if material.relief is not None:
                tilted = tilted + sample(material.relief, place) @ turn.T
        else:
            albedo[own] = place
        normal[own], open_[own] = tilted, np.maximum(values[:, 3:4], material.least_open)
        finish[own] = (material.gloss, material.sharpness, material.wrap)
    return _Hits(points, -_unit(points), _unit(normal), open_, albedo, finish)


def _corner_table(piece: Piece, scene: rtcore_scene.EmbreeScene, which: Ints) -> Floats:
    """Per triangle and corner: normal, openness, and texture px or colour, (T, 3, 6 or 7)."""
    used = np.zeros(len(piece.triangles), bool)
    used[which] = True
    seen = np.unique(piece.triangles[used])
    opens = np.zeros((len(piece.vertices), 1), np.float32)
    opens[seen, 0] = openness(scene, piece.vertices[seen], piece.normals[seen])
    parts = [piece.normals[piece.triangles], opens[piece.triangles]]
    if piece.corners is not None:
        parts.append(piece.corners)
    elif piece.colours is not None:
        parts.append(piece.colours[piece.triangles])
    return np.concatenate(parts, axis=2)


def _between(table: Floats, which: Ints, u: Floats, v: Floats) -> Floats:
    """Values at barycentric (u, v) of triangles `which` of a table (T, 3, K) -> (N, K)."""
    rows = np.take(table, which, axis=0)
    base = rows[:, 0]
    return floats(base + (rows[:, 1] - base) * u[:, None] + (rows[:, 2] - base) * v[:, None])


def _unit(v: Floats) -> Floats:
    length = np.sqrt(np.einsum("ij,ij->i", v, v))
    return floats(v / np.maximum(length, 1e-9)[:, None])


def sample(texture: Floats, place: Floats) -> Floats:
    """Bilinear look-up of (H, W, C) at px (N, 2) -> (N, C)."""
    # OpenCV's remap takes at most 32,767 columns
    width = 512
    rows = -(-len(place) // width)
    filled = np.zeros((rows * width, 2), np.float32)
    filled[: len(place)] = place
    grid = filled.reshape(rows, width, 2)
    out = cv2.remap(texture, grid[..., 0], grid[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return floats(out.reshape(rows * width, -1)[: len(place)])


def _shade(scene: rtcore_scene.EmbreeScene, light: Light, rng: np.random.Generator, seen: _Hits) -> Floats:
    """Key light with jittered shadow rays, light from all round dimmed by openness, a fill, a gloss."""
    normal = seen.normal
    gloss, sharp, wrap = (seen.finish[:, k, None] for k in range(3))
    towards = light.towards + light.radius * (rng.random(normal.shape, np.float32) * 2 - 1)
    cosine = normal @ light.towards[:, None]
    # light that creeps under the skin reddens the edge of the shade
    creep = wrap * _CREEP
    bleed = np.maximum(cosine + creep, 0) / (1 + creep)
    away = np.flatnonzero(cosine[:, 0] > -0.4)
    lit = np.zeros((len(normal), 1), np.float32)
    start = np.take(seen.points + normal * np.float32(8e-4), away, axis=0)
    lit[away, 0] = _free(scene, start, np.take(towards, away, axis=0))
    facing = np.maximum(np.einsum("ij,ij->i", normal, seen.towards_eye), 0)[:, None]
    height = normal[:, 2:] * np.float32(0.5) + np.float32(0.5)
    around = (light.ground + (light.sky - light.ground) * height + light.fill * facing) * seen.open
    half = _unit(light.towards + seen.towards_eye)
    shine = np.maximum(np.einsum("ij,ij->i", normal, half), 0)[:, None] ** sharp * gloss * lit
    return floats(seen.albedo * (bleed * lit * light.colour + around) + shine * light.colour)
