"""A video's answers in time: smoothed over neighbouring frames, and drawn as one chart."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.evaluation.inference import Answer

COLUMNS = 1024  # of a chart: a longer video is averaged to at most so many


@dataclass(frozen=True)
class Moment:
    """One frame of a video."""

    frame: int
    time_s: float
    answer: Answer
    smoothed: dict[str, float] | None = None  # by expression, summing to 1; None without a face

    @property
    def smoothed_expression(self) -> str | None:
        """The likeliest expression over the window."""
        return max(self.smoothed, key=self.smoothed.__getitem__) if self.smoothed else None


def smooth(moments: Iterable[Moment], half_s: float) -> Iterator[Moment]:
    """Average each frame's probabilities with those of `half_s` before and after it, nearer ones more.

    Triangular weights over the frames with a face, whatever their spacing. A frame without a face stays
    without, and 0 smooths nothing. What is held are the answers of 2 `half_s`, not the video.
    """
    held: deque[Moment] = deque()
    waiting = 0  # the first of `held` that has not been given yet
    for moment in moments:
        held.append(moment)
        while waiting < len(held) and moment.time_s - held[waiting].time_s >= half_s:
            yield _averaged(held, waiting, half_s)
            waiting += 1
        due_s = held[min(waiting, len(held) - 1)].time_s  # no frame still to be given is earlier
        while waiting and due_s - held[0].time_s >= half_s:
            held.popleft()
            waiting -= 1
    for k in range(waiting, len(held)):
        yield _averaged(held, k, half_s)


def _averaged(held: deque[Moment], k: int, half_s: float) -> Moment:
    here = held[k]
    if here.answer.probabilities is None:
        return here
    sums, total = dict.fromkeys(here.answer.probabilities, 0.0), 0.0
    for other in held:
        away = abs(other.time_s - here.time_s)
        weight = 1.0 if other is here else max(0.0, 1 - away / half_s) if half_s > 0 else 0.0
        if other.answer.probabilities is not None and weight > 0:
            total += weight
            for name, probability in other.answer.probabilities.items():
                sums[name] += weight * probability
    return Moment(here.frame, here.time_s, here.answer, {name: s / total for name, s in sums.items()})


class Chart:
    """The smoothed probabilities of a video of any length, in at most COLUMNS columns."""

    def __init__(self, classes: tuple[str, ...]) -> None:
        self._classes = classes
        self._sums = np.zeros((COLUMNS, len(classes)))
        self._faces = np.zeros(COLUMNS)
        self._column_s = 1 / 32
        self._end_s = 0.0

    def add(self, moment: Moment) -> None:
        """Count a frame in; when the columns run out, two become one."""
        while moment.time_s >= COLUMNS * self._column_s:
            for counts in (self._sums, self._faces):
                paired = counts[0::2] + counts[1::2]
                counts[: COLUMNS // 2], counts[COLUMNS // 2 :] = paired, 0
            self._column_s *= 2
        self._end_s = max(self._end_s, moment.time_s)
        if moment.smoothed is not None:
            column = int(moment.time_s / self._column_s)
            self._sums[column] += [moment.smoothed[name] for name in self._classes]
            self._faces[column] += 1

    def columns(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Middle of each column with a face in it (K,), in seconds, and mean probabilities (K, C)."""
        filled = np.flatnonzero(self._faces)
        times = np.asarray((filled + 0.5) * self._column_s, np.float64)
        return times, self._sums[filled] / self._faces[filled, None]

    def draw(self, path: Path) -> None:
        """Write it as a PNG: a line an expression, and gaps where no face was seen."""
        from matplotlib.figure import Figure

        times, shares = self.columns()
        figure = Figure(figsize=(12, 4), dpi=100, layout="constrained")
        axes = figure.subplots()
        breaks = np.flatnonzero(np.diff(times) > max(1.0, 3 * self._column_s)) + 1
        for k, name in enumerate(self._classes):
            with_gaps = np.insert(shares[:, k], breaks, np.nan)
            axes.plot(np.insert(times, breaks, times[breaks]), with_gaps, label=name)
        axes.set(xlabel="seconds", ylabel="probability", ylim=(0, 1), xlim=(0, max(self._end_s, 0.1)))
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
        figure.savefig(path, format="png")
