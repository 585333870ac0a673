"""What light makes of the surfaces that rays have met: colours in linear light.

Values of N hits are kept as (3, N), one row a component: numpy is many times faster along them.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.corpora.rendered.arrays import Floats, Ints, floats
from mien.corpora.rendered.stage import Light, Material, Mesh

_CREEP = floats([1.0, 0.45, 0.3])


@dataclass(frozen=True)
class Hits:
    """Where N camera rays met the mesh."""

    points: Floats  # (3, N)
    triangle: Ints  # (N,)
    u: Floats  # (N,) barycentric, of the triangle's second corner
    v: Floats  # (N,) of its third


@dataclass(frozen=True)
class Surfaces:
    """What the rays met there."""

    towards_eye: Floats  # (3, N) unit
    normal: Floats  # (3, N) unit
    open: Floats  # (N,)
    albedo: Floats  # (3, N)
    material: NDArray[np.intp]  # (N,) number in `materials`
    materials: list[Material]


def surfaces(mesh: Mesh, materials: list[Material], opens: Floats, hits: Hits, turn: Floats) -> Surfaces:
    """Look up normal, openness and colour at each hit.

    `materials`: one a piece. `opens`: openness of each vertex. `turn`: rotation of the relief to the world.
    """
    values, piece = _between(mesh, opens, hits)
    normal, open_, albedo = values[:3], values[3], values[4:]
    for number, material in enumerate(materials):
        if material.texture is None and not material.least_open:
            continue
        own = np.flatnonzero(piece == number)
        if not len(own):
            continue
        open_[own] = np.maximum(open_[own], material.least_open)
        if material.texture is not None:
            place = np.take(albedo[:2], own, axis=1)
            albedo[:, own] = cv2.transpose(sample(material.texture, place))
            if material.relief is not None:
                normal[:, own] += turn @ sample(material.relief, place).T
    return Surfaces(-_unit(hits.points), _unit(normal), open_, albedo, piece, materials)


def _between(mesh: Mesh, opens: Floats, hits: Hits) -> tuple[Floats, NDArray[np.intp]]:
    """Normal, openness, and texture px or colour at each hit, (7, N), and each hit's piece, (N,)."""
    used = np.zeros(len(mesh.triangles), bool)
    used[hits.triangle] = True
    which = np.take(np.cumsum(used) - 1, hits.triangle)
    corner = mesh.triangles[used]
    values = np.concatenate([mesh.normals[corner], opens[corner][..., None], mesh.place[used]], axis=2)
    table = np.ascontiguousarray(values.transpose(1, 2, 0))  # corner, value, triangle
    table[1:] -= table[0]
    out = np.empty((table.shape[1], len(which)), np.float32)
    for k, at in enumerate(out):
        np.take(table[0, k], which, out=at)
        at += np.take(table[1, k], which) * hits.u
        at += np.take(table[2, k], which) * hits.v
    return out, np.take(mesh.piece[used].astype(np.intp), which)


def sample(texture: Floats, place: Floats) -> Floats:
    """Bilinear look-up of (H, W, C) at px (2, N) -> (N, C)."""
    # OpenCV's remap takes at most 32,767 columns
    width, count = 512, place.shape[1]
    rows = -(-count // width)
    grid = np.zeros((2, rows * width), np.float32)
    grid[:, :count] = place
    x, y = grid.reshape(2, rows, width)
    out = cv2.remap(texture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return floats(out.reshape(rows * width, -1)[:count])


def _dot(a: Floats, b: Floats) -> Floats:
    """Inner products of the columns of (3, N), (N,)."""
    return floats(a[0] * b[0] + a[1] * b[1] + a[2] * b[2])


def _unit(v: Floats) -> Floats:
    return floats(v / np.maximum(np.sqrt(_dot(v, v)), 1e-9))


def shade(light: Light, seen: Surfaces, cosine: Floats, lit: Floats) -> Floats:
    """Colours (3, N): key light where it is `lit`, light from all round dimmed by openness, a fill, a gloss.

    `cosine`: (N,) of the key light's angle.
    """
    gloss, sharpness, wrap = (
        np.take(floats([getattr(m, name) for m in seen.materials]), seen.material)
        for name in ("gloss", "sharpness", "wrap")
    )
    height = seen.normal[2] * np.float32(0.5) + np.float32(0.5)
    facing = np.maximum(_dot(seen.normal, seen.towards_eye), 0)
    half = _unit(light.towards[:, None] + seen.towards_eye)
    shine = np.maximum(_dot(seen.normal, half), 0) ** sharpness * gloss * lit
    out = np.empty_like(seen.albedo)
    for k in range(3):
        # light that creeps under the skin reddens the edge of the shade
        creep = wrap * _CREEP[k]
        bleed = np.maximum(cosine + creep, 0) / (1 + creep)
        around = light.ground[k] + (light.sky[k] - light.ground[k]) * height + light.fill[k] * facing
        out[k] = (
            seen.albedo[k] * (bleed * lit * light.colour[k] + around * seen.open) + shine * light.colour[k]
        )
    return out
