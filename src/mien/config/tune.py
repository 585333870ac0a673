"""`search` and `searches` of params.yaml: what settings may be, and how they are looked for."""

import itertools
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from mien.config.section import Section
from mien.config.train import Experiment

Value = bool | int | float | str


class Span(Section):
    """All numbers between two; whole ones where both ends are."""

    low: int | float
    high: int | float
    log: bool = False  # drawn so that every factor is as likely

    @model_validator(mode="after")
    def _ordered(self) -> "Span":
        if not self.low < self.high:
            raise ValueError(f"low is {self.low}, which must be below high = {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"low is {self.low}, but log needs it above 0")
        return self

    @property
    def whole(self) -> bool:
        """Whether only whole numbers count."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def steps(self, number: int) -> list[Value]:
        """Evenly spread values from end to end, for a grid; of whole numbers each once."""
        shares = [step / (number - 1) for step in range(number)]
        if self.log:
            found = [math.exp((1 - s) * math.log(self.low) + s * math.log(self.high)) for s in shares]
        else:
            found = [(1 - s) * self.low + s * self.high for s in shares]
        found[0], found[-1] = float(self.low), float(self.high)  # exactly, not by way of logarithms
        return list(dict.fromkeys(round(v) for v in found)) if self.whole else list(found)


def _kind(value: object) -> str:
    return "choices" if isinstance(value, list) else "span"


Choices = Annotated[list[Value], Field(min_length=2)]
Dimension = Annotated[Annotated[Span, Tag("span")] | Annotated[Choices, Tag("choices")], Discriminator(_kind)]
"""A span of numbers, or the values to choose from."""
Space = dict[str, Dimension]
"""By setting of a method; `augmentation.flip` is one within another."""


def holds(dimension: Dimension, value: Any) -> bool:
    """Whether a search could come upon a value."""
    if isinstance(dimension, list):
        return any(
            value == choice and isinstance(value, bool) == isinstance(choice, bool) for choice in dimension
        )
    return isinstance(value, int | float) and dimension.low <= value <= dimension.high


def ends(dimension: Dimension) -> list[Value]:
    """The values that stand for all of a dimension when it is checked."""
    return list(dimension) if isinstance(dimension, list) else [dimension.low, dimension.high]


def grid(space: Mapping[str, Dimension], steps: int) -> list[dict[str, Value]]:
    """Every combination, of each span `steps` values."""
    values = [d if isinstance(d, list) else d.steps(steps) for d in space.values()]
    return [dict(zip(space, combination, strict=True)) for combination in itertools.product(*values)]


class Search(Section):
    """How the settings of an experiment are looked for, on faces that none of its cells tests."""

    trials: int = Field(12, ge=1)  # the first has the settings that stand in params.yaml
    algorithm: Literal["optuna", "random", "grid"] = "optuna"
    grid_steps: int = Field(3, ge=2)  # of a span, where algorithm is grid
    stopping: Literal["asha", "none"] = "asha"
    # what every trial is given before it may be stopped: epochs, or normal classes of a one-class method
    grace: int = Field(2, ge=1)
    reduction: int = Field(
        3, ge=2
    )  # of those at a rung one in so many goes on; the next rung is so much later
    validation_share: float = Field(0.25, gt=0, lt=1)  # of the people (or pictures) that no cell tests
    beside: int | None = Field(None, ge=1)  # trials at a time; null: as many as the cluster holds
    seed: int = 0  # of what is drawn; a training's own seed is the experiment's first


def refuse_unsearchable(
    search: Mapping[str, Space], searches: Mapping[str, Search], experiments: Mapping[str, Experiment]
) -> None:
    """ValueError: a search of what is no experiment or has no space, or settings that nothing looks for."""
    for name in searches:
        if name not in experiments:
            raise ValueError(f"searches.{name} is no experiment; searches are named as what they tune")
        if not search.get(experiments[name].method):
            method = experiments[name].method
            raise ValueError(f"searches.{name} needs search.{method}, which says what its settings may be")
    for name, entry in experiments.items():
        if entry.tuned and name not in searches:
            raise ValueError(f"experiments.{name}.tuned is true, but searches has no {name}; add it")
