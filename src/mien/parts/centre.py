"""The centre that a one-class method draws the features of normal faces to."""

import torch
from torch import Tensor


def away_from_zero(centre: Tensor, least: float = 0.1) -> Tensor:
    """Push coordinates below `least` in size out to it, with their sign; 0 goes to +least.

    Weights of 0 reach a centre at 0. After Ruff et al., *Deep One-Class Classification*, ICML
    2018, whose code leaves a coordinate of exactly 0 where it is.
    """
    return torch.where(centre.abs() < least, torch.where(centre < 0, -least, least), centre)
