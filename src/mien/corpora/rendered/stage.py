"""What stands before the camera: pieces of mesh, what they are made of, and the light that falls on them."""

from dataclasses import dataclass

import numpy as np

from mien.corpora.rendered.arrays import Floats, Ints, floats


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


@dataclass(frozen=True)
class Mesh:
    """Several pieces as one mesh of V vertices and T triangles, piece after piece."""

    vertices: Floats  # (V, 3)
    triangles: Ints  # (T, 3)
    normals: Floats  # (V, 3)
    place: Floats  # (T, 3, 3) per corner: texture px and 0, or a colour
    piece: Ints  # (T,) number of each triangle's piece


def joined(pieces: list[Piece]) -> Mesh:
    """Put pieces together."""
    starts = np.cumsum([0] + [len(p.vertices) for p in pieces])
    counts = [len(p.triangles) for p in pieces]
    place = np.zeros((sum(counts), 3, 3), np.float32)
    first = 0
    for piece, count in zip(pieces, counts, strict=True):
        own = place[first : first + count]
        if piece.corners is not None:
            own[..., :2] = piece.corners
        elif piece.colours is not None:
            own[:] = piece.colours[piece.triangles]
        first += count
    return Mesh(
        floats(np.concatenate([p.vertices for p in pieces])),
        np.concatenate([p.triangles + np.int32(s) for p, s in zip(pieces, starts[:-1], strict=True)]),
        floats(np.concatenate([p.normals for p in pieces])),
        place,
        np.repeat(np.arange(len(pieces), dtype=np.int32), counts),
    )
