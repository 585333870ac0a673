"""Random numbers of a training step, drawn from nothing but each face's own seed."""

import math

import torch
from torch import Tensor

from mien.parts.augment import uniform

APART = 0xD1B54A32D192ED03  # odd, so that no two uses below 2^64 share a multiple


def apart(seed: Tensor, use: int) -> Tensor:
    """Other seeds from the same ones, so that two uses of a face's seed do not draw the same numbers.

    seed (N,) int64 -> (N,) int64; use 0 gives the seeds themselves.
    """
    mixed = use * APART % (1 << 64)
    return seed ^ (mixed - (1 << 64) if mixed >> 63 else mixed)


def normal(seed: Tensor, count: int) -> Tensor:
    """Numbers of the standard normal distribution, a row a seed, by Box and Muller (1958).

    seed (N,) int64 -> (N, count) float32, none beyond 5.77 (24 random bits). Equal numbers for equal seeds,
    whatever the batch they stand in.
    """
    pairs = (count + 1) // 2
    draws = uniform(seed, 2 * pairs)
    radius = (-2 * torch.log1p(-draws[:, :pairs])).sqrt()
    angle = 2 * math.pi * draws[:, pairs:]
    return torch.cat([radius * angle.cos(), radius * angle.sin()], dim=1)[:, :count]


def normal_like(pictures: Tensor, seed: Tensor) -> Tensor:
    """Standard normal noise of the shape of pictures (N, ...), each by its own seed (N,)."""
    return normal(seed, pictures[0].numel()).view_as(pictures)
