"""The texture atlas: where each texel of the skin lies on the mean head, so that faces are painted in
millimetres.

MakeHuman's texture space gives the face a small corner of its square. Its islands are moved into an atlas of
our own in which the face is large, and each texel learns its position and its normal on the mean adult head.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from embreex import rtcore_scene
from embreex.mesh_construction import TriangleMesh
from numpy.typing import NDArray

from mien.corpora.rendered.arrays import Floats, Ints, floats
from mien.corpora.rendered.basis import Basis
from mien.corpora.rendered.shape import neutral_shape

WIDTH, HEIGHT = 1024, 1424
_HEAD, _MOUTH, _SOCKETS, _TORSO = range(4)
# island: u0, u1, v0, v1 in the texture space of the mesh; x, y in atlas px of its upper left; px per texture
# unit
_ISLANDS = (
    (0.60, 1.01, 0.145, 0.85, 2, 2, 2000.0),
    (0.74, 0.94, -0.01, 0.145, 820, 20, 1000.0),
    (-0.01, 0.16, 0.40, 0.66, 820, 220, 800.0),
    (0.16, 0.60, 0.66, 1.01, 820, 500, 450.0),
)
MEAN = {
    "gender": 0.5,
    "age": 0.3,
    "muscle": 0.5,
    "weight": 0.5,
    "african": 1.0,
    "asian": 1.0,
    "caucasian": 1.0,
}
"""The mean adult head on which everything is painted."""


@dataclass(frozen=True)
class Atlas:
    """Texture layout. T triangles of the skin; H x W = HEIGHT x WIDTH texels."""

    corners: Floats  # (T, 3, 2) atlas px of each triangle's corners
    island: Ints  # (T,) head, inside of the mouth, eye sockets, torso
    place: Floats  # (H, W, 3) metres on the mean head; 0 outside the islands
    normal: Floats  # (H, W, 3) unit normals there
    inside: NDArray[np.bool_]  # (H, W) texels that belong to the skin
    lips: Floats  # (H, W) 0 to 1
    eyelids: Floats  # (H, W) 0 to 1
    mouth: Floats  # (H, W) 0 to 1: inside of the mouth
    mean: Floats  # (V, 3) the mean head


def vertex_normals(vertices: Floats, triangles: Ints) -> Floats:
    """(V, 3), (T, 3) -> (V, 3) unit normals, area-weighted; 0 for vertices without a triangle."""
    # one row a component, which is faster than np.cross
    first, second, third = np.take(vertices.T, triangles.T, axis=1).swapaxes(0, 1)
    a, b = second - first, third - first
    at = triangles.ravel().astype(np.intp)
    total = np.empty((len(vertices), 3))
    for k, (i, j) in enumerate(((1, 2), (2, 0), (0, 1))):
        face = a[i] * b[j] - a[j] * b[i]
        total[:, k] = np.bincount(at, np.repeat(face, 3), len(vertices))
    return floats(total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-20))


def make_atlas(basis: Basis) -> Atlas:
    """Lay out the islands and find each texel's place by rays onto the flattened mesh (about 0.5 s)."""
    uv = basis.uv[basis.skin_uv]
    middle = uv.mean(axis=1)
    corners = np.zeros_like(uv)
    island = np.full(len(uv), _TORSO, np.int32)
    for number, (u0, u1, v0, v1, x, y, scale) in enumerate(_ISLANDS):
        own = (middle[:, 0] > u0) & (middle[:, 0] <= u1) & (middle[:, 1] > v0) & (middle[:, 1] <= v1)
        island[own] = number
        corners[own] = np.stack([x + (uv[own, :, 0] - u0) * scale, y + (v1 - uv[own, :, 1]) * scale], axis=-1)
    mean = neutral_shape(basis, MEAN, {})
    place, normal, inside = _rasterise(corners, basis.skin, mean)
    lips, eyelids, mouth = (_into_atlas(mask) for mask in basis.masks)
    return Atlas(corners, island, place, normal, inside, lips, eyelids, mouth, mean)


def _rasterise(corners: Floats, triangles: Ints, mean: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    flat = np.concatenate([corners, np.zeros((len(corners), 3, 1), np.float32)], axis=2)
    scene = rtcore_scene.EmbreeScene()
    TriangleMesh(scene, np.ascontiguousarray(flat, np.float32))
    x, y = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    origins = np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3).astype(np.float32)
    hits = scene.run(origins, np.tile(floats([0, 0, -1]), (len(origins), 1)), output=1)
    hit = hits["primID"] >= 0
    at = triangles[hits["primID"][hit]]
    u, v = hits["u"][hit, None], hits["v"][hit, None]
    normals = vertex_normals(mean, triangles)
    maps = []
    for values in (mean, normals):
        grid = np.zeros((HEIGHT * WIDTH, 3), np.float32)
        grid[hit] = values[at[:, 0]] * (1 - u - v) + values[at[:, 1]] * u + values[at[:, 2]] * v
        maps.append(grid.reshape(HEIGHT, WIDTH, 3))
    return maps[0], maps[1], hit.reshape(HEIGHT, WIDTH)


def _into_atlas(picture: NDArray[np.uint8]) -> Floats:
    """A mask in texture space, moved into the atlas; 0 to 1."""
    side = picture.shape[0]
    out = np.zeros((HEIGHT, WIDTH), np.float32)
    for u0, u1, v0, v1, x, y, scale in _ISLANDS:
        columns, rows = int((u1 - u0) * scale), int((v1 - v0) * scale)
        across = (u0 + (np.arange(columns, dtype=np.float32)) / scale) * side - 0.5
        down = (1 - (v1 - np.arange(rows, dtype=np.float32) / scale)) * side - 0.5
        grid = np.meshgrid(across, down)
        patch = cv2.remap(picture, grid[0], grid[1], cv2.INTER_LINEAR, borderValue=0)
        fit = out[y : y + rows, x : x + columns]
        fit[:] = np.maximum(fit, patch[: fit.shape[0], : fit.shape[1]] / np.float32(255))
    return out
