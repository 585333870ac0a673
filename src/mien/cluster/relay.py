"""Reports on their way: from the workers over Ray Train's controller to the process that runs the stage.

The controller lives on the node of that process (Ray pins it there), so a file is all that it takes
between them: one line an epoch, read as it grows. A report brings the epochs since the last one. What a
killed process loses stands in the checkpoints, or is trained and told again.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray.train import Checkpoint, UserCallback

from mien.training.reports import CellReport

REPORTS, SYSTEM, NODE = "reports", "system", "node"
"""Keys of what a rank hands to ray.train.report: the lines (rank 0), its machine's load and number."""


class Relay(UserCallback):
    """Runs in the controller: appends the epochs of each report to a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def after_report(
        self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Checkpoint | None
    ) -> None:
        """Called once a report, when every rank has made it and its checkpoint is safe."""
        lines = "".join(f"{report.to_json()}\n" for report in merged(metrics))
        with self._path.open("a", encoding="utf-8") as file:
            file.write(lines)


def merged(metrics: list[dict[str, Any]]) -> list[CellReport]:
    """Rank 0's epochs, the newest with the load of every machine; the first machine's has no prefix."""
    if not metrics[0][REPORTS]:  # a checkpoint within an epoch
        return []
    *earlier, newest = (CellReport.from_json(line) for line in metrics[0][REPORTS])
    load: dict[str, float] = {}
    for told in metrics:
        prefix = f"node{told[NODE]}/" if told.get(NODE) else ""
        load |= {f"{prefix}{key}": value for key, value in told.get(SYSTEM, {}).items()}
    return [*earlier, replace(newest, system=load)]


class Tail:
    """The lines that a file has gained since it was last looked at."""

    def __init__(self, path: Path) -> None:
        self._path, self._read = path, 0

    def new(self) -> Iterator[CellReport]:
        """Whole lines only; a line that is still being written waits for the next call."""
        if not self._path.exists() or self._path.stat().st_size == self._read:
            return
        with self._path.open("rb") as file:
            file.seek(self._read)
            arrived = file.read()
        whole = arrived[: arrived.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.decode().splitlines():
            yield CellReport.from_json(line)
