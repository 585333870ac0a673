"""Ray casting of one picture with Embree: hits, shadows, ambient light, and colours in linear light.

World: metres, x to the picture's right, y away from the camera, z up; the camera sits at the origin and looks along +y.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from embreex import rtcore_scene
from embreex.mesh_construction import TriangleMesh
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

SAMPLES = 2  # per picture px and axis


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
    """World points (N, 3) -> picture px (N, 2); a pixel's centre has whole-number coordinates. `half`: tan(fov / 2)."""
    x = points[:, 0] / (points[:, 1] * half)
    y = -points[:, 2] / (points[:, 1] * half)
    return (np.stack([x, y], axis=1) * (px / 2) + (px / 2 - 0.5)).astype(np.float32)


@lru_cache(maxsize=4)
def _rays(px: int, half: float) -> Floats:
    """Unit directions (px * px * SAMPLES ** 2, 3), row by row."""
    n = px * SAMPLES
    u = ((np.arange(n) + 0.5) / n * 2 - 1) * half
    x, z = np.meshgrid(u, -u)
    d = np.stack([x, np.ones_like(x), z], axis=-1).reshape(-1, 3)
    return np.ascontiguousarray(d / np.linalg.norm(d, axis=1, keepdims=True), np.float32)


def _cast(
    scene: rtcore_scene.EmbreeScene, origins: Floats, directions: Floats, far: float = 1e37
) -> dict[str, NDArray]:
    return scene.run(origins, directions, dists=np.full(len(origins), far, np.float32), output=1)


@lru_cache(maxsize=1)
def _dome() -> Floats:
    """Cosine-weighted directions about +z, (24, 3), evenly spread (Fibonacci)."""
    n = 24
    k = np.arange(n) + 0.5
    angle, out = k * 2.399963, np.sqrt(k / n)
    return np.stack([out * np.cos(angle), out * np.sin(angle), np.sqrt(1 - out**2)], axis=1).astype(
        np.float32
    )


def openness(scene: rtcore_scene.EmbreeScene, points: Floats, normals: Floats, reach: float = 0.08) -> Floats:
    """Share of the directions above each point that nothing closer than `reach` metres blocks, (N,)."""
    z = normals
    x = np.cross(z, np.where(np.abs(z[:, :1]) < 0.7, np.float32([1, 0, 0]), np.float32([0, 1, 0])))
    x /= np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9)
    y = np.cross(z, x)
    dome = _dome()
    d = dome[:, 0, None, None] * x + dome[:, 1, None, None] * y + dome[:, 2, None, None] * z
    o = np.broadcast_to(points + 4e-4 * z, d.shape)
    hits = _cast(scene, o.reshape(-1, 3).astype(np.float32), d.reshape(-1, 3).astype(np.float32), reach)
    return 1 - (hits["primID"].reshape(len(dome), -1) >= 0).mean(axis=0, dtype=np.float32)


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
    corners = [p.vertices[p.triangles] for p in pieces]
    scene = rtcore_scene.EmbreeScene()
    TriangleMesh(scene, np.ascontiguousarray(np.concatenate(corners), np.float32))
    directions = _rays(px, half)
    hits = _cast(scene, np.zeros_like(directions), directions)
    hit = np.flatnonzero(hits["primID"] >= 0)
    first = np.cumsum([0] + [len(p.triangles) for p in pieces])
    triangle = hits["primID"][hit]
    u, v = hits["u"][hit, None], hits["v"][hit, None]
    weights = (1 - u - v, u, v)
    facing, open_, albedo, gloss, sharp, wrap = _surfaces(
        pieces, materials, scene, first, triangle, weights, turn
    )
    d = directions[hit]
    points = d * hits["tfar"][hit, None]
    colour = _shade(scene, light, rng, points, d, facing, open_, albedo, gloss, sharp, wrap)
    n = px * SAMPLES
    full = np.zeros((n * n, 4), np.float32)
    full[hit, :3] = colour
    full[hit, 3] = 1
    small = cv2.resize(full.reshape(n, n, 4), (px, px), interpolation=cv2.INTER_AREA)
    return small[..., :3], small[..., 3]


def _surfaces(
    pieces: list[Piece],
    materials: list[Material],
    scene: rtcore_scene.EmbreeScene,
    first: NDArray[np.int64],
    triangle: Ints,
    weights: tuple[Floats, Floats, Floats],
    turn: Floats,
) -> tuple[Floats, ...]:
    """Per hit: normal (N, 3), openness (N, 1), albedo (N, 3), gloss, sharpness and wrap (N, 1)."""
    count = len(triangle)
    normal, albedo = np.empty((count, 3), np.float32), np.empty((count, 3), np.float32)
    open_, gloss, sharp, wrap = (np.empty((count, 1), np.float32) for _ in range(4))
    for number, piece in enumerate(pieces):
        own = np.flatnonzero((triangle >= first[number]) & (triangle < first[number + 1]))
        if not len(own):
            continue
        which = triangle[own] - first[number]
        at = piece.triangles[which]
        w = [x[own] for x in weights]
        seen = np.zeros(len(piece.vertices), bool)
        seen[at] = True
        opens = np.zeros(len(piece.vertices), np.float32)
        opens[seen] = openness(scene, piece.vertices[seen], piece.normals[seen])
        material = materials[piece.material]
        packed = np.concatenate([piece.normals, opens[:, None]], axis=1)
        mixed = packed[at[:, 0]] * w[0] + packed[at[:, 1]] * w[1] + packed[at[:, 2]] * w[2]
        if piece.corners is not None and material.texture is not None:
            c = piece.corners[which]
            place = c[:, 0] * w[0] + c[:, 1] * w[1] + c[:, 2] * w[2]
            albedo[own] = sample(material.texture, place)
            if material.relief is not None:
                mixed[:, :3] += sample(material.relief, place) @ turn.T
        elif piece.colours is not None:
            k = piece.colours
            albedo[own] = k[at[:, 0]] * w[0] + k[at[:, 1]] * w[1] + k[at[:, 2]] * w[2]
        normal[own], open_[own] = mixed[:, :3], mixed[:, 3:]
        gloss[own], sharp[own], wrap[own] = material.gloss, material.sharpness, material.wrap
    normal /= np.maximum(np.sqrt(np.einsum("ij,ij->i", normal, normal))[:, None], 1e-9)
    return normal, open_, albedo, gloss, sharp, wrap


def sample(texture: Floats, place: Floats) -> Floats:
    """Bilinear look-up of (H, W, C) at px (N, 2) -> (N, C); rows of at most 30,000 px, as OpenCV's remap wants."""
    width = 512
    rows = -(-len(place) // width)
    grid = np.zeros((rows * width, 2), np.float32)
    grid[: len(place)] = place
    grid = grid.reshape(rows, width, 2)
    out = cv2.remap(texture, grid[..., 0], grid[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return out.reshape(rows * width, -1)[: len(place)]


def _shade(
    scene: rtcore_scene.EmbreeScene,
    light: Light,
    rng: np.random.Generator,
    points: Floats,
    d: Floats,
    normal: Floats,
    open_: Floats,
    albedo: Floats,
    gloss: Floats,
    sharp: Floats,
    wrap: Floats,
) -> Floats:
    """Key light with a jittered shadow ray, hemisphere light dimmed by openness, a fill from the camera, a highlight."""
    count = len(points)
    towards = light.towards + light.radius * (rng.random((count, 3), np.float32) - np.float32(0.5)) * 2
    hits = _cast(scene, points + normal * np.float32(8e-4), np.ascontiguousarray(towards, np.float32))
    lit = (hits["primID"] < 0)[:, None].astype(np.float32)
    cosine = normal @ light.towards[:, None]
    # light that creeps under the skin reddens the edge of the shade
    bleed = np.clip(cosine + wrap * np.float32([1.0, 0.45, 0.3]), 0, None) / (
        1 + wrap * np.float32([1.0, 0.45, 0.3])
    )
    height = normal[:, 2:] * np.float32(0.5) + np.float32(0.5)
    facing = np.clip(-np.einsum("ij,ij->i", normal, d), 0, 1)[:, None]
    ambient = (light.ground + (light.sky - light.ground) * height) * open_
    colour = albedo * (bleed * lit * light.colour + ambient + light.fill * facing * open_)
    half = light.towards - d
    half /= np.sqrt(np.einsum("ij,ij->i", half, half))[:, None]
    shine = np.clip(np.einsum("ij,ij->i", normal, half), 0, 1)[:, None] ** sharp * gloss * lit
    return colour + shine * light.colour
