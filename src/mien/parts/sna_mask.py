"""Which faces of a batch SNA keeps.

Paper: Fu et al., *Semantic Neighborhood-Aware Deep Facial Expression Recognition*, TIP 2020, section III-C.
"""

import torch
from torch import Tensor


def divergence(p: Tensor, q: Tensor) -> Tensor:
    """Div(P, Q) = (KL(P||Q) + KL(Q||P)) / 2 in nats, from logits (N, C) twice -> (N,)."""
    log_p, log_q = p.float().log_softmax(dim=1), q.float().log_softmax(dim=1)
    return 0.5 * ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(dim=1)


def trusted(div: Tensor, threshold: Tensor | float) -> Tensor:
    """delta(T - Div): 1 where Div < T, strictly, else 0; div (N,) -> (N,)."""
    return (threshold - div > 0).to(div.dtype)


def smallest(values: Tensor, count: int) -> Tensor:
    """1 for the `count` smallest of values (N,), else 0: what rejects as many by another rule."""
    keep = torch.zeros_like(values)
    keep[values.argsort(stable=True)[:count]] = 1
    return keep
