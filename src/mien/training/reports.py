"""What a training says of itself after each epoch, as it travels to whoever listens."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import NamedTuple


class Cell(NamedTuple):
    """One fold and seed of an experiment: the smallest thing that is trained whole or not at all."""

    fold: int
    seed: int

    @property
    def name(self) -> str:
        """As it stands in paths and run names."""
        return f"fold{self.fold}-seed{self.seed}"


@dataclass(frozen=True)
class EpochReport:
    """One finished epoch of a cell, already reduced over all ranks."""

    experiment: str
    cell: Cell
    phase: str
    epoch: int  # 0-based within the phase
    epochs: int  # of the phase
    metrics: Mapping[str, float]
    faces_per_s: float
    at: float  # Unix time, s
    left_s: float  # estimate for the rest of this cell
    system: Mapping[str, float] = field(
        default_factory=dict
    )  # load of the machines; says nothing of the model

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self) | {"cell": list(self.cell)})

    @classmethod
    def from_json(cls, line: str) -> "EpochReport":
        """The inverse of `to_json`."""
        raw = json.loads(line)
        return cls(**(raw | {"cell": Cell(*raw["cell"])}))


OnReport = Callable[[EpochReport], None]
