"""Learning-rate schedules that several methods offer."""

import math
from collections.abc import Mapping
from typing import Any, Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

ScheduleName = Literal["constant", "cosine", "plateau"]


def schedule(
    name: ScheduleName, optimizer: Optimizer, epochs: int, patience_epochs: int = 20, before: int = 0
) -> LRScheduler | ReduceLROnPlateau | None:
    """A schedule stepped once an epoch: none, half a cosine to 0, or a tenth after a plateau.

    The cosine lies over `epochs`, of which `before` are over when the optimiser is made.
    """
    if name == "constant":
        return None
    if name == "cosine":
        return LambdaLR(
            optimizer, lambda epoch: 0.5 * (1 + math.cos(math.pi * min((before + epoch) / epochs, 1)))
        )
    return ReduceLROnPlateau(optimizer, mode="min", factor=0.1, patience=patience_epochs)


class HalveAndReload:
    """Halve the rate and go back to the best network when training goes astray or stands still (IDFERM, 4.2).

    Astray: the training loss is over a quarter above the epoch's before. Still: the validation accuracy has
    had no new best for `patience_epochs`. The phase must keep its most accurate epoch.
    """

    def __init__(self, optimizer: Optimizer, patience_epochs: int, rise: float = 0.25) -> None:
        self.optimizer, self.patience_epochs, self.rise = optimizer, patience_epochs, rise
        self.loss: float | None = None  # of the last epoch
        self.best = -1.0
        self.flat_epochs = 0

    def step(self, values: Mapping[str, float]) -> bool:
        """Take an epoch's figures; True when the caller must reload the best network."""
        loss, accuracy = values["train_loss"], values["validation_accuracy"]
        self.flat_epochs = 0 if accuracy > self.best else self.flat_epochs + 1
        self.best = max(self.best, accuracy)
        astray = self.loss is not None and loss > (1 + self.rise) * self.loss
        if not astray and self.flat_epochs < self.patience_epochs:
            self.loss = loss
            return False
        for group in self.optimizer.param_groups:
            group["lr"] /= 2
        self.optimizer.state.clear()  # its momentum led away from where it starts again
        self.loss, self.flat_epochs = None, 0
        return True

    def state_dict(self) -> dict[str, float | None]:
        """All but the settings."""
        return {"loss": self.loss, "best": self.best, "flat_epochs": self.flat_epochs}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where another left off."""
        self.loss, self.best, self.flat_epochs = state["loss"], state["best"], int(state["flat_epochs"])
