"""The rows of a global batch on every rank, for what a loss computes over the whole of it."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        whole = grads[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(whole)
        return whole.chunk(dist.get_world_size())[dist.get_rank()]


def gathered(rows: Tensor) -> tuple[Tensor, int]:
    """The rows of all ranks, in rank order, and where this rank's begin; every rank brings equally many.

    rows (n, D) -> (world * n, D). A row's gradient is that of the ranks' summed losses, so that DDP's mean
    over ranks is the gradient of the mean loss. Without a process group, the rows themselves.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return rows, 0
    whole: Tensor = _Gathered.apply(rows)
    return whole, dist.get_rank() * len(rows)
