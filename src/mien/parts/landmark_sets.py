"""Smaller sets of landmarks, taken from the 68 of iBUG 300-W."""

from typing import Literal

import torch
from torch import Tensor

LandmarkCount = Literal[68, 49, 5]
INNER = (*range(17, 60), 61, 62, 63, 65, 66, 67)  # 49: no jaw, no inner mouth corners
FIVE = (range(36, 42), range(42, 48), (30,), (48,), (54,))  # means of: eyes, nose tip, mouth corners


def choose(points: Tensor, count: LandmarkCount) -> Tensor:
    """points (N, 68, 2) -> (N, count, 2)."""
    if count == 49:
        return points[:, list(INNER)]
    if count == 5:
        return torch.stack([points[:, list(group)].mean(dim=1) for group in FIVE], dim=1)
    return points
