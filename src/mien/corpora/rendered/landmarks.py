"""The 68 iBUG points as vertices of the mesh, chosen once."""

import json
from functools import lru_cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from mien.corpora.rendered.arrays import Floats


@lru_cache(maxsize=1)
def vertex_numbers() -> NDArray[np.int64]:
    """Vertices of the head's basis for the 68 points, (68,)."""
    text = resources.files("mien.corpora.rendered").joinpath("landmarks.json").read_text()
    return np.array(json.loads(text)["vertices"])


def points_of(vertices: Floats) -> Floats:
    """The 68 points of a head, (V, 3) -> (68, 3)."""
    return vertices[vertex_numbers()]
