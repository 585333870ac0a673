"""Methods trained on the same wrong labels, compared face by face and training by training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from mien.evaluation import paired
from mien.evaluation.outcomes import Outcome
from mien.evaluation.predictions import PREDICTIONS_FILE, TEST, Cell, read_predictions


@dataclass(frozen=True)
class Rights:
    """Which test faces of each training were named rightly: cell -> (faces,) bool, faces in order of keys."""

    of: Mapping[Cell, NDArray[np.bool_]]
    keys: Mapping[Cell, tuple[str, ...]]

    @property
    def accuracies(self) -> list[float]:
        """Of each cell, in order."""
        return [float(self.of[cell].mean()) for cell in sorted(self.of)]


@dataclass(frozen=True)
class Compared:
    """A method less another one, over the trainings that both have done."""

    difference: float  # of accuracies, a mean over trainings
    t_test: float  # p of the paired t test over trainings; nan below two, or where all differ alike
    mcnemar: Sequence[float]  # p of the exact test of each training


def rights(outcome: Outcome, runs: Path) -> Rights:
    """From the predictions of an experiment's test parts."""
    file = runs / outcome.name / PREDICTIONS_FILE
    made = read_predictions(file, len(outcome.scores["classes"])).of_part(TEST)
    cells = dict(made.by_cell())
    return Rights(
        {cell: own.predicted == own.label for cell, own in cells.items()},
        {cell: tuple(own.key.tolist()) for cell, own in cells.items()},
    )


def compared(one: Rights, other: Rights) -> Compared | None:
    """`one` less `other`; None where no training of both has tested the same faces."""
    cells = [cell for cell in sorted(one.of) if one.keys[cell] == other.keys.get(cell)]
    if not cells:
        return None
    first, second = (np.array([side.of[cell].mean() for cell in cells]) for side in (one, other))
    spread = len(cells) > 1 and float(np.ptp(first - second)) > 0
    return Compared(
        difference=float((first - second).mean()),
        t_test=float(stats.ttest_rel(first, second).pvalue) if spread else float("nan"),
        mcnemar=[mcnemar(one.of[cell], other.of[cell]) for cell in cells],
    )


def mcnemar(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """p of the exact test (McNemar 1947) that either is right alone equally often; 1 where neither is."""
    return paired.mcnemar(int((one & ~other).sum()), int((other & ~one).sum()))
