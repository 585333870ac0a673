"""Failure cases and consistent failure cases of sequences (SNA's Table VII)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.evaluation.predictions import Predictions
from mien.shards.frames import TESTED_FRAMES, sequences
from mien.shards.index import Index


@dataclass(frozen=True)
class Failure:
    """A sequence of which some tested frame is named wrongly."""

    cell: tuple[int, int]  # fold, seed
    rows: Sequence[int]  # of the index: the tested frames, and the last, which was learnt
    label: int
    predicted: Sequence[int]  # of the tested frames, in order

    @property
    def consistent(self) -> bool:
        """All of them wrong, and alike."""
        return consistent(self.predicted, self.label)


@dataclass(frozen=True)
class Failures:
    """Shares of sequences, a number a cell, and the failing ones themselves."""

    failing: NDArray[np.float64]  # FC
    consistent: NDArray[np.float64]  # CFC
    tested: int  # sequences a cell
    cases: Sequence[Failure]


def failing(predicted: Sequence[int], label: int) -> bool:
    """FC: any frame is not named by the label."""
    return any(value != label for value in predicted)


def consistent(predicted: Sequence[int], label: int) -> bool:
    """CFC: every frame is named wrongly, and all by one name."""
    return failing(predicted, label) and len(set(predicted)) == 1


def failures(test: Predictions, index: Index) -> Failures:
    """FC and CFC of each cell from predictions of the test part, whose parts are by frame."""
    groups = [rows for rows in sequences(index) if len(rows) > TESTED_FRAMES]
    shares, found = [], []
    for cell, made in test.by_cell():
        said: Mapping[str, tuple[int, int]] = {
            key: (int(label), int(told))
            for key, label, told in zip(made.key.tolist(), made.label, made.predicted, strict=True)
        }
        cases = [case for rows in groups if (case := _case(cell, rows[-TESTED_FRAMES - 1 :], said, index))]
        shares.append((len(cases) / len(groups), sum(case.consistent for case in cases) / len(groups)))
        found += cases
    both = np.array(shares, dtype=np.float64).reshape(-1, 2)
    return Failures(both[:, 0], both[:, 1], len(groups), found)


def _case(
    cell: tuple[int, int], rows: Sequence[int], said: Mapping[str, tuple[int, int]], index: Index
) -> Failure | None:
    answers = [said[str(index.keys[row])] for row in rows[:-1]]
    label, predicted = answers[0][0], [told for _, told in answers]
    return Failure(cell, rows, label, predicted) if failing(predicted, label) else None
