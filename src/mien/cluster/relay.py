"""Reports on their way: from the workers over Ray Train's controller to the process that runs the stage.

The controller lives on the node of that process (Ray pins it there), so a file is all that it takes
between them: one line a report, read as it grows. What a killed process loses stands in the checkpoints too.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray.train import Checkpoint, UserCallback

from mien.training.reports import CellReport

REPORT, SYSTEM, NODE = "report", "system", "node"
"""Keys of what a rank hands to ray.train.report: the line (rank 0), its machine's load and number."""


class Relay(UserCallback):
    """Runs in the controller: appends each report to a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def after_report(
        self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Checkpoint | None
    ) -> None:
        """Called once a report, when every rank has made it and its checkpoint is safe."""
        report = merged(metrics)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(report.to_json() + "\n")


def merged(metrics: list[dict[str, Any]]) -> CellReport:
    """Rank 0's report with the load of every machine, the first one's without a prefix."""
    report = CellReport.from_json(metrics[0][REPORT])
    load: dict[str, float] = {}
    for told in metrics:
        prefix = f"node{told[NODE]}/" if told.get(NODE) else ""
        load |= {f"{prefix}{key}": value for key, value in told.get(SYSTEM, {}).items()}
    return replace(report, system=load)


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
