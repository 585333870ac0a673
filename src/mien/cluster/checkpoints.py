"""Checkpoints of a worker group: sealed folders, of which the newest whole one counts."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mien.config.train import Cell
from mien.training.kept import Curve
from mien.training.state import State, read_state, write_state
from mien.training.storage import Storage, is_intact, seal

STATE, WHERE = "state.pt", "where.json"
_PREFIX, _SNAPSHOT = "checkpoint_", "checkpoint_manager_snapshot.json"


@dataclass(frozen=True)
class Checkpoint:
    """A cell in the middle of its training."""

    cell: Cell
    curves: list[Curve]  # of the epochs so far
    seconds: float  # spent on the cell so far
    state: State  # what loop.fit takes as `resume`


@contextmanager
def written(checkpoint: Checkpoint) -> Iterator[Path]:
    """A sealed folder that holds the checkpoint, gone after the block."""
    with tempfile.TemporaryDirectory(prefix="mien-checkpoint-") as name:
        folder = Path(name)
        write_state(checkpoint.state, folder / STATE)
        where: dict[str, Any] = {
            "cell": list(checkpoint.cell),
            "curves": checkpoint.curves,
            "seconds": checkpoint.seconds,
        }
        (folder / WHERE).write_text(json.dumps(where), encoding="utf-8")
        seal(folder)
        yield folder


def read(folder: Path) -> Checkpoint:
    """The checkpoint in a folder that is intact."""
    where = json.loads((folder / WHERE).read_text(encoding="utf-8"))
    curves = [
        (str(phase), int(epoch), str(name), float(value)) for phase, epoch, name, value in where["curves"]
    ]
    return Checkpoint(Cell(*where["cell"]), curves, float(where["seconds"]), read_state(folder / STATE))


def newest(group: Storage) -> str | None:
    """The name of the newest checkpoint that is whole; None when there is none."""
    found = [name for name in group.names() if name.startswith(_PREFIX) and name != _SNAPSHOT]
    for name in sorted(found, reverse=True):  # Ray names them by time
        with tempfile.TemporaryDirectory(prefix="mien-checkpoint-") as scratch:
            if group.get(name, Path(scratch) / "copy"):
                return name
    return None


def load(group: Storage, name: str) -> Checkpoint | None:
    """Fetch a checkpoint and read it; None when it is not intact."""
    with tempfile.TemporaryDirectory(prefix="mien-checkpoint-") as scratch:
        folder = Path(scratch) / "copy"
        return read(folder) if group.get(name, folder) and is_intact(folder) else None


def mend(group: Storage) -> None:
    """Before a restart: remove Ray's own list of checkpoints if it is torn or names one that is not whole.

    Ray refuses to start over such a list; the checkpoints themselves are found without it.
    """
    if _SNAPSHOT not in group.names():
        return
    listed = group.read_json(_SNAPSHOT)
    names = [str(entry.get("checkpoint_dir_name")) for entry in (listed or {}).get("checkpoint_results", [])]
    if listed is None or any(group.read_json(f"{name}/seal.json") is None for name in names):
        group.delete(_SNAPSHOT)
