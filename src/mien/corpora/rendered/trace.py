"""Ray casting of one picture with Embree: which samples meet what, shadows and ambient light.

World: metres, x to the picture's right, y away from the camera, z up; the camera sits at the origin and looks
along +y. Values of N hits are kept as (3, N), one row a component: numpy is many times faster along them.
"""

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from embreex import rtcore_scene
from embreex.mesh_construction import TriangleMesh
from numpy.typing import NDArray

from mien.corpora.rendered.arrays import Floats, floats
from mien.corpora.rendered.shading import Hits, shade, surfaces
from mien.corpora.rendered.stage import Light, Material, Mesh, Piece, joined

SAMPLES = 2  # per picture px and axis
_CELL = 8  # samples: side of the squares in which it is asked whether there is anything to meet
_FAR = 1e37


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
    mesh = joined(pieces)
    scene = rtcore_scene.EmbreeScene()
    TriangleMesh(scene, mesh.vertices, mesh.triangles)
    n = px * SAMPLES
    samples = _worth_casting(mesh, n, half)
    directions = np.take(_grid(px), samples, axis=0)
    directions[:, ::2] *= half
    found = _first_hits(scene, directions)
    hit = np.flatnonzero(found["primID"] >= 0)
    triangle, u, v, far = (np.take(found[name], hit) for name in ("primID", "u", "v", "tfar"))
    points = cv2.transpose(np.take(directions, hit, axis=0)) * far
    opens = _opens(scene, mesh, triangle)
    seen = surfaces(mesh, [materials[p.material] for p in pieces], opens, Hits(points, triangle, u, v), turn)
    cosine, lit = _key_light(scene, light, points, seen.normal, rng)
    shaded = np.ones((4, len(hit)), np.float32)
    shaded[:3] = shade(light, seen, cosine, lit)
    full = np.zeros((n * n, 4), np.float32)
    full[np.take(samples, hit)] = cv2.transpose(shaded)
    small = cv2.resize(full.reshape(n, n, 4), (px, px), interpolation=cv2.INTER_AREA)
    return floats(small[..., :3]), floats(small[..., 3])


def _worth_casting(mesh: Mesh, n: int, half: float) -> NDArray[np.intp]:
    """Numbers of the n x n samples, in order, that lie in a cell which some triangle's rectangle touches: the
    other rays meet nothing for sure."""
    side = -(-n // _CELL) + 1
    corners = np.take(cv2.transpose(project(mesh.vertices, n, half)), mesh.triangles.T, axis=1)
    (left, top), (right, bottom) = (
        np.clip((edge + margin) / _CELL, 0, side - 1).astype(np.intp)
        for edge, margin in ((corners.min(axis=1), -1), (corners.max(axis=1), 1 + _CELL))
    )
    # each rectangle raises the count at its first corner and lowers it past its ends
    steps = np.zeros(side * side, np.intp)
    for x, y, sign in ((left, top, 1), (right, top, -1), (left, bottom, -1), (right, bottom, 1)):
        steps += sign * np.bincount(y * side + x, minlength=side * side)
    covered = np.cumsum(np.cumsum(steps.reshape(side, side), axis=0), axis=1) > 0
    return np.flatnonzero(covered.repeat(_CELL, axis=0).repeat(_CELL, axis=1)[:n, :n])


def _opens(scene: rtcore_scene.EmbreeScene, mesh: Mesh, met: NDArray[np.int32]) -> Floats:
    """Openness (V,) of the vertices of the triangles that rays have met; 0 elsewhere."""
    seen = np.zeros(len(mesh.triangles), bool)
    seen[met] = True
    near = np.zeros(len(mesh.vertices), bool)
    near[mesh.triangles[seen]] = True
    opens = np.zeros(len(mesh.vertices), np.float32)
    opens[near] = openness(scene, mesh.vertices[near], mesh.normals[near])
    return opens


def _key_light(
    scene: rtcore_scene.EmbreeScene, light: Light, points: Floats, normal: Floats, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Cosine of the light's angle at each hit, (N,), and 1 where a ray towards a point of the light passes,
    (N,)."""
    towards = rng.random((points.shape[1], 3), np.float32)
    towards *= 2
    towards -= 1
    towards *= light.radius
    for axis in range(3):
        towards[:, axis] += light.towards[axis]
    start = floats(cv2.transpose(points + normal * np.float32(8e-4)))
    cosine = cv2.transpose(normal) @ light.towards
    lit = _free(scene, start, towards) & (cosine > -0.4)
    return floats(cosine), lit.astype(np.float32)
