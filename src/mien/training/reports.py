"""What a training says of itself after each epoch, as it travels from the workers to whoever listens."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field

from mien.config.train import Cell


@dataclass(frozen=True)
class CellReport:
    """One finished epoch of a cell, already reduced over all ranks."""

    experiment: str
    cell: Cell
    phase: str
    epoch: int  # 0-based within the phase
    epochs: int  # of the phase
    values: Mapping[str, float]  # what the loop reports: losses, validation figures, faces_per_second, ...
    done: float  # share of the cell's epochs, over all phases, that are behind it
    at: float  # Unix time, s
    system: Mapping[str, float] = field(default_factory=dict)  # load of the machines, no fact of the model

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self) | {"cell": list(self.cell)})

    @classmethod
    def from_json(cls, line: str) -> "CellReport":
        """The inverse of `to_json`."""
        raw = json.loads(line)
        return cls(**(raw | {"cell": Cell(*raw["cell"])}))


OnReport = Callable[[CellReport], None]
