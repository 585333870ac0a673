"""A challenger against the champion on the frozen faces, and the rule that decides."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.config.promotion import Promotion
from mien.config.report import Evaluate
from mien.evaluation import intervals, metrics, paired
from mien.evaluation.frozen import FrozenManifest
from mien.evaluation.intervals import Interval, Tallies
from mien.evaluation.results import FIGURES

Named = NDArray[np.int64]
"""(N,) the class that a model names for each frozen face; the number of classes where it gives no answer."""
_MEAN = "mean_accuracy"
_CELL = (0, 0)


@dataclass(frozen=True)
class Verdict:
    """What came of a challenge; shares of 1. Without a champion, the challenger met chance."""

    promoted: bool
    reason: str  # one sentence
    old: Mapping[str, Any] | None
    new: Mapping[str, Any]
    gain: Interval  # of mean accuracy
    p_value: float  # over people
    mcnemar_p: float | None
    faces: Mapping[str, int]  # named rightly by both, only_old, only_new, neither
    class_gain: Mapping[str, float]

    def as_json(self) -> dict[str, Any]:
        """For a record."""
        told = {**vars(self), "gain": vars(self.gain)}
        return {key: dict(v) if isinstance(v, Mapping) else v for key, v in told.items()}


def challenge(
    frozen: FrozenManifest, old: Named | None, new: Named, rule: Promotion, evaluate: Evaluate
) -> Verdict:
    """Compare the answers of two models, or of the first one ever with chance, and apply the rule."""
    weight = paired.mean_accuracy_weights(frozen.label, *[np.zeros(len(new), dtype=np.int64)] * 2)
    right_new = (new == frozen.label).astype(np.float64)
    chance = 1 / len(frozen.classes)
    right_old = np.full(len(new), chance) if old is None else (old == frozen.label).astype(np.float64)
    gains = paired.by_person(weight * (right_new - right_old), frozen.person)
    p_value = paired.sign_flip(gains, evaluate.seed, "greater")
    told_new = _told(frozen, new)
    told_old = None if old is None else _told(frozen, old)
    gain = _gain(frozen, old, new, chance, evaluate)
    class_gain = {
        name: told_new["recall"][name] - (chance if told_old is None else told_old["recall"][name])
        for name in frozen.classes
    }
    both = right_old > 0, right_new > 0
    faces = {} if old is None else paired.named_rightly(*both, ("old", "new"))
    failed = _failed(gain.mean, p_value, {} if old is None else class_gain, rule)
    before = f"chance, {100 * chance:.1f}" if told_old is None else f"{100 * told_old[_MEAN]:.1f}"
    said = (
        f"mean accuracy {100 * told_new[_MEAN]:.1f} % against {before} % on {len(new)} frozen faces, "
        f"p {p_value:.4f} over {len(gains)} people"
    )
    return Verdict(
        promoted=not failed,
        reason=f"{said}{'; but ' if failed else ''}{', and '.join(failed)}.",
        old=told_old,
        new=told_new,
        gain=gain,
        p_value=p_value,
        mcnemar_p=paired.mcnemar(faces["only_old"], faces["only_new"]) if faces else None,
        faces=faces,
        class_gain=class_gain,
    )


def _failed(gain: float, p_value: float, class_gain: Mapping[str, float], rule: Promotion) -> list[str]:
    """The conditions of the rule that do not hold, in words."""
    failed = []
    if gain <= 0 or gain < rule.min_gain:
        failed.append(f"the gain of {100 * gain:+.1f} points is not above {100 * rule.min_gain:.1f}")
    if math.isnan(p_value) or p_value > rule.max_p:
        failed.append(f"p is above {rule.max_p:g}")
    worst = min(class_gain, key=class_gain.__getitem__, default=None)
    # a loss that equals the limit but for the last bits of a difference of shares is allowed
    if worst is not None and -class_gain[worst] > rule.max_class_loss + 1e-9:
        failed.append(f"{worst} loses {-100 * class_gain[worst]:.1f} points")
    return failed


def _told(frozen: FrozenManifest, named: Named) -> dict[str, Any]:
    """Figures of one model on the frozen faces."""
    classes = len(frozen.classes)
    rates = metrics.rates(metrics.count(frozen.label, named, classes + 1))
    return {
        "accuracy": float(rates.accuracy),
        _MEAN: float(rates.mean_accuracy),
        "recall": {name: float(rates.recall[i]) for i, name in enumerate(frozen.classes)},
        "unanswered": int((named == classes).sum()),
    }


def _gain(
    frozen: FrozenManifest, old: Named | None, new: Named, chance: float, evaluate: Evaluate
) -> Interval:
    """The gain of mean accuracy with the bootstrap interval over people."""
    drawing = evaluate.confidence, evaluate.resamples, evaluate.seed
    if old is not None:
        return intervals.paired(_tallies(frozen, old), _tallies(frozen, new), FIGURES[_MEAN], *drawing)
    alone = intervals.over_people(_tallies(frozen, new), FIGURES[_MEAN], *drawing)
    return Interval(alone.mean - chance, alone.low - chance, alone.high - chance, alone.units)


def _tallies(frozen: FrozenManifest, named: Named) -> Tallies:
    """Counts by person, with one more class for pictures without an answer."""
    people, who = np.unique(np.asarray(frozen.person, dtype=str), return_inverse=True)
    side = len(frozen.classes) + 1
    counts = np.zeros((len(people), side, side), dtype=np.int64)
    np.add.at(counts, (who, frozen.label, named), 1)
    return {_CELL[0]: {_CELL: counts}}
