"""A line now and then that says how far a training is."""

import sys
import time
from collections.abc import Callable, Sequence
from typing import TextIO

from mien.config.train import Cell
from mien.training.reports import CellReport

EVERY_S = 2.0


class ProgressLines:
    """Prints epochs to stderr, at most one every two seconds, and the last of each phase in any case."""

    def __init__(
        self,
        cells: list[tuple[str, Cell]],  # and of which experiment
        kept: int,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cells, self._kept = cells, kept
        self._stream = stream or sys.stderr
        self._clock = clock
        self._begun = self._newest = 0.0  # Unix times of epochs: what came before was start-up
        self._first = 0.0  # share of a cell that was done at `_begun`
        self._done: dict[tuple[str, Cell], float] = {}
        self._printed = float("-inf")

    def say(self, sentence: str) -> None:
        """A line of its own."""
        print(sentence, file=self._stream, flush=True)

    def take(self, reports: Sequence[CellReport]) -> None:
        """Take what has arrived since the last call, in order; of several epochs the newest is printed."""
        for report in reports:
            self._note(report)
            newest = report is reports[-1] and self._clock() - self._printed >= EVERY_S
            if newest or report.epoch + 1 == report.epochs:
                self._printed = self._clock()
                self.say(self._line(report))

    def _note(self, report: CellReport) -> None:
        if not self._done:
            self._begun, self._first = report.at, report.done
        self._newest = max(self._newest, report.at)  # epochs arrive in bursts: when they ended tells the rate
        self._done[report.experiment, report.cell] = report.done

    def _line(self, report: CellReport) -> str:
        number = self._kept + self._cells.index((report.experiment, report.cell)) + 1
        values = report.values
        parts = [
            f"{report.experiment} {report.cell.name} ({number}/{self._kept + len(self._cells)})",
            f"{report.phase} {report.epoch + 1}/{report.epochs}",
            f"loss {values['train_loss']:.3f}" if "train_loss" in values else "",
            f"validation {100 * values['validation_accuracy']:.1f} %"
            if "validation_accuracy" in values
            else "",
            f"{values['faces_per_second']:.0f} pictures/s" if "faces_per_second" in values else "",
            f"{clock_time(left)} left" if (left := self.left_s()) == left else "",
        ]
        return " | ".join(part for part in parts if part)

    def left_s(self) -> float:
        """Seconds to the end of all cells, if they go on as fast as so far; NaN while that is unknown.

        Of several experiments it stays unknown: their cells take unlike times.
        """
        if len({experiment for experiment, _ in self._cells}) > 1:
            return float("nan")
        behind = sum(self._done.values()) - self._first
        ahead = len(self._cells) - sum(self._done.values())
        return (self._newest - self._begun) / behind * ahead if behind > 0 else float("nan")


def clock_time(seconds: float) -> str:
    """Seconds as 4:05 or 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
