"""A line now and then that says how far a training is."""

import sys
import time
from collections.abc import Callable
from typing import TextIO

from mien.config.train import Cell
from mien.training.reports import CellReport

EVERY_S = 2.0


class ProgressLines:
    """Prints reports to stderr, at most one every two seconds, and the last of each phase in any case."""

    def __init__(
        self,
        cells: list[Cell],
        kept: int,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cells, self._kept = cells, kept
        self._stream = stream or sys.stderr
        self._clock = clock
        self._begun = float("nan")  # of the first report: what came before was start-up
        self._first = 0.0  # share of a cell that was done then
        self._done: dict[Cell, float] = {}
        self._printed = float("-inf")

    def say(self, sentence: str) -> None:
        """A line of its own."""
        print(sentence, file=self._stream, flush=True)

    def __call__(self, report: CellReport) -> None:
        """Take a report, and print it if it is time."""
        now = self._clock()
        if not self._done:
            self._begun = now
            self._first = report.done
        self._done[report.cell] = report.done
        if now - self._printed < EVERY_S and report.epoch + 1 < report.epochs:
            return
        self._printed = now
        self.say(self._line(report, now))

    def _line(self, report: CellReport, now: float) -> str:
        number = self._kept + self._cells.index(report.cell) + 1
        values = report.values
        parts = [
            f"{report.experiment} {report.cell.name} ({number}/{self._kept + len(self._cells)})",
            f"{report.phase} {report.epoch + 1}/{report.epochs}",
            f"loss {values['train_loss']:.3f}" if "train_loss" in values else "",
            f"validation {100 * values['validation_accuracy']:.1f} %"
            if "validation_accuracy" in values
            else "",
            f"{values['faces_per_second']:.0f} pictures/s" if "faces_per_second" in values else "",
            f"{clock_time(left)} left" if (left := self.left_s(now)) == left else "",
        ]
        return " | ".join(part for part in parts if part)

    def left_s(self, now: float) -> float:
        """Seconds to the end of all cells, if they go on as fast as so far; NaN while that is unknown."""
        behind = sum(self._done.values()) - self._first
        ahead = len(self._cells) - sum(self._done.values())
        return (now - self._begun) / behind * ahead if behind > 0 else float("nan")


def clock_time(seconds: float) -> str:
    """Seconds as 4:05 or 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
