"""Checkpoints of a cell: sealed folders, of which the newest whole one counts.

They reach the storage in its own patient way and not by Ray's reports: Ray gives up a store that is busy for
some seconds, and its controller, which would keep a list of them there, gives up the training with it.
"""

import json
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mien.config.train import Cell
from mien.training.kept import Curve
from mien.training.state import State, read_state, write_state
from mien.training.storage import Storage, is_intact

STATE, WHERE = "state.pt", "where.json"
_PREFIX = "checkpoint_"


@dataclass(frozen=True)
class Checkpoint:
    """A cell in the middle of its training."""

    cell: Cell
    curves: list[Curve]  # of the epochs so far
    seconds: float  # spent on the cell so far
    state: State  # what loop.fit takes as `resume`


def keep(group: Storage, checkpoint: Checkpoint) -> None:
    """Put a checkpoint into the storage, where the one before it stays and older ones go.

    MienError: no room for it here or there, or a storage that stays away.
    """
    earlier = _names(group)
    with tempfile.TemporaryDirectory(prefix="mien-checkpoint-") as name:
        folder = Path(name)
        write_state(checkpoint.state, folder / STATE)
        where: dict[str, Any] = {
            "cell": list(checkpoint.cell),
            "curves": checkpoint.curves,
            "seconds": checkpoint.seconds,
        }
        (folder / WHERE).write_text(json.dumps(where), encoding="utf-8")
        group.put(folder, f"{_PREFIX}{datetime.now(UTC):%Y-%m-%d_%H-%M-%S.%f}")
    for gone in earlier[:-1]:
        group.delete(gone)


def read(folder: Path) -> Checkpoint:
    """The checkpoint in a folder that is intact."""
    where = json.loads((folder / WHERE).read_text(encoding="utf-8"))
    curves = [
        (str(phase), int(epoch), str(name), float(value)) for phase, epoch, name, value in where["curves"]
    ]
    return Checkpoint(Cell(*where["cell"]), curves, float(where["seconds"]), read_state(folder / STATE))


def newest(group: Storage) -> str | None:
    """The name of the newest checkpoint that is whole; None when there is none."""
    for name in reversed(_names(group)):
        with tempfile.TemporaryDirectory(prefix="mien-checkpoint-") as scratch:
            if group.get(name, Path(scratch) / "copy"):
                return name
    return None


def load(group: Storage, name: str) -> Checkpoint | None:
    """Fetch a checkpoint and read it; None when it is not intact."""
    with tempfile.TemporaryDirectory(prefix="mien-checkpoint-") as scratch:
        folder = Path(scratch) / "copy"
        return read(folder) if group.get(name, folder) and is_intact(folder) else None


def _names(group: Storage) -> list[str]:
    """Of all checkpoints, torn ones too, the oldest first: they are named by time."""
    return [name for name in group.names() if name.startswith(_PREFIX)]
