"""Learning-rate schedules that several methods offer."""

import math
from typing import Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

ScheduleName = Literal["constant", "cosine", "plateau"]


def schedule(
    name: ScheduleName, optimizer: Optimizer, epochs: int, patience_epochs: int = 20
) -> LRScheduler | ReduceLROnPlateau | None:
    """A schedule stepped once an epoch: none, half a cosine to 0, or a tenth after a plateau."""
    if name == "constant":
        return None
    if name == "cosine":
        return LambdaLR(optimizer, lambda epoch: 0.5 * (1 + math.cos(math.pi * min(epoch / epochs, 1))))
    return ReduceLROnPlateau(optimizer, mode="min", factor=0.1, patience=patience_epochs)
