"""Things that hide part of a face in wild pictures."""

import numpy as np

from mien.corpora.rendered.basis import Floats
from mien.corpora.rendered.face import Face
from mien.corpora.rendered.trace import Piece


def occluder_of(
    kind: str, face: Face, vertices: Floats, material: int, rng: np.random.Generator
) -> list[Piece]:
    """Pieces of the thing, in the head's axes."""
    return []
