"""What ranks tell each other. With no process group, or one process, everything here is the identity."""

from collections.abc import Mapping

import torch
import torch.distributed as dist
from torch import Tensor, nn


def rank_and_world() -> tuple[int, int]:
    """This process's rank and the number of ranks; (0, 1) without a process group."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def sum_over_ranks(values: Tensor) -> Tensor:
    """The sum of equally shaped tensors over ranks."""
    if rank_and_world()[1] > 1:
        dist.all_reduce(values)
    return values


def mean_over_ranks(values: Mapping[str, float], device: torch.device) -> dict[str, float]:
    """The mean of each value over ranks; every rank names the same ones."""
    names = sorted(values)
    total = sum_over_ranks(torch.tensor([values[n] for n in names], dtype=torch.float64, device=device))
    return dict(zip(names, (total / rank_and_world()[1]).tolist(), strict=True))


def share_buffers(module: nn.Module) -> None:
    """Give every rank the first rank's buffers: running statistics differ by the faces that each has seen."""
    if rank_and_world()[1] > 1:
        for buffer in module.buffers():
            dist.broadcast(buffer, src=0)


def gather_rows(rows: Tensor) -> Tensor:
    """Stack the (n_r, K) rows of all ranks, in rank order, on every rank; n_r may differ and be 0."""
    _, world = rank_and_world()
    if world == 1:
        return rows
    counts = [torch.zeros(1, dtype=torch.int64, device=rows.device) for _ in range(world)]
    dist.all_gather(counts, torch.tensor([len(rows)], device=rows.device))
    longest = int(max(int(c) for c in counts))
    padded = rows.new_zeros((longest, rows.shape[1]))
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in range(world)]
    dist.all_gather(parts, padded)
    return torch.cat([part[: int(count)] for part, count in zip(parts, counts, strict=True)])
