"""What a person sees of a training."""

import io

from mien.cluster.progress import ProgressLines, clock_time
from mien.config.train import Cell
from mien.training.reports import CellReport

CELLS = [Cell(0, 0), Cell(1, 0)]


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def report(cell: Cell, epoch: int, epochs: int = 10) -> CellReport:
    """Of an epoch of 0.9 s."""
    values = {"train_loss": 0.5, "validation_accuracy": 0.612, "faces_per_second": 210.4}
    return CellReport("demo", cell, "fer", epoch, epochs, values, (epoch + 1) / epochs, 5e8 + 0.9 * epoch)


def test_a_line_at_most_every_two_seconds_and_at_the_end_of_a_phase():
    clock, stream = Clock(), io.StringIO()
    lines = ProgressLines([("demo", cell) for cell in CELLS], 1, stream, clock)
    for epoch in range(10):
        lines.take([report(CELLS[0], epoch)])
        clock.now += 0.9
    said = stream.getvalue().splitlines()
    assert [line.split(" | ")[1] for line in said] == ["fer 1/10", "fer 4/10", "fer 7/10", "fer 10/10"]
    assert said[0] == "demo fold0-seed0 (2/3) | fer 1/10 | loss 0.500 | validation 61.2 % | 210 pictures/s"
    assert said[1].endswith("| 0:14 left")  # 0.3 cells took 2.7 s and 1.6 are to go: 14.4 s


def test_of_epochs_that_arrive_together_the_newest_is_shown_and_their_own_time_counts():
    clock, stream = Clock(), io.StringIO()
    lines = ProgressLines([("demo", cell) for cell in CELLS], 0, stream, clock)
    lines.take([report(CELLS[0], epoch) for epoch in range(4)])
    clock.now += 60.0  # a slow driver is no slow training
    lines.take([report(CELLS[0], epoch) for epoch in range(4, 7)])
    lines.take([])
    said = [line.split(" | ") for line in stream.getvalue().splitlines()]
    assert [(words[1], words[-1]) for words in said] == [("fer 4/10", "0:14 left"), ("fer 7/10", "0:12 left")]


def test_of_several_experiments_the_end_is_not_foretold():
    stream = io.StringIO()
    lines = ProgressLines([("demo", CELLS[0]), ("other", CELLS[0])], 0, stream)
    lines.take([report(CELLS[0], epoch) for epoch in range(4)])
    assert stream.getvalue().startswith("demo fold0-seed0 (1/2) | fer 4/10 | ")
    assert "left" not in stream.getvalue()


def test_time_is_read_as_a_clock_shows_it():
    assert [clock_time(s) for s in (5, 245, 3723)] == ["0:05", "4:05", "1:02:03"]
