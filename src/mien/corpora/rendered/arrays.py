"""The two kinds of array of this room."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]


def floats(values: ArrayLike) -> Floats:
    """Give values as float32."""
    return np.asarray(values, np.float32)
