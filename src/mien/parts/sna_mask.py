"""Which faces of a batch SNA keeps.

Paper: Fu et al., *Semantic Neighborhood-Aware Deep Facial Expression Recognition*, TIP 2020, section III-C.
"""

import torch
from torch import Tensor


def trusted(div: Tensor, threshold: Tensor | float) -> Tensor:
    """delta(T - Div): 1 where Div < T, strictly, else 0; div (N,) -> (N,)."""
    return (threshold - div > 0).to(div.dtype)


def smallest(values: Tensor, count: int) -> Tensor:
    """1 for the `count` smallest of values (N,), else 0: what rejects as many by another rule."""
    keep = torch.zeros_like(values)
    keep[values.argsort(stable=True)[:count]] = 1
    return keep
