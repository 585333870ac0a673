"""Whether new faces are unlike those that the champion was trained on: tests, and how much they found.

The faces of one person resemble each other, so p-values are too small; what counts as drift must also have
an effect of some size (`promotion.drift`).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy import stats
from scipy.stats.contingency import association

from mien.config.promotion import Drift
from mien.manifest.expressions import EXPRESSIONS

MEASURES = {
    "face size": ("face_px", "px"),
    "pose": ("pose", "of the face's width"),
    "brightness": ("brightness", "of 255"),
    "landmark error": ("landmark_error", "eye distances"),
}
LABELS, PREDICTIONS, AGREEMENT = "label mix", "prediction mix", "labels that the champion agrees with"


@dataclass(frozen=True)
class Shift:
    """One way in which new faces may differ from the earlier ones."""

    name: str
    before: str  # median, or the mix, in words
    now: str
    effect: float  # Kolmogorov's D, or Cramer's V: 0 none, 1 all
    p_value: float  # raised for the number of tests
    drifted: bool

    def sentence(self) -> str:
        """For a log or a notice."""
        told = (
            f"{self.name}: {self.now}, before {self.before} (effect {self.effect:.2f}, p {self.p_value:.2g})"
        )
        return f"DRIFT in {told}" if self.drifted else told


@dataclass(frozen=True)
class _Tested:
    name: str
    before: str
    now: str
    effect: float
    p_value: float


def drift(before: pa.Table, new: pa.Table, settings: Drift) -> list[Shift]:
    """Hold the profile of new faces against an earlier one; too few new faces give an empty list."""
    if len(new) < settings.min_faces or not len(before):
        return []
    tested = [_mixes(LABELS, *(_known(t, "expression") for t in (before, new)))]
    tested += [_measures(name, before, new) for name in MEASURES]
    answered = [t.filter(t["predicted"].is_valid()) for t in (before, new)]
    if all(len(table) for table in answered):
        tested.append(_mixes(PREDICTIONS, *(_known(t, "predicted") for t in answered)))
        tested.append(_mixes(AGREEMENT, *(_agreement(t) for t in answered)))
    raised = stats.false_discovery_control([t.p_value for t in tested])
    return [
        Shift(
            *(t.name, t.before, t.now, t.effect, float(p)),
            drifted=bool(p <= settings.max_p and t.effect >= settings.min_effect),
        )
        for t, p in zip(tested, raised, strict=True)
    ]


def as_json(shifts: Sequence[Shift]) -> list[dict[str, Any]]:
    """For a record."""
    return [dict(vars(shift)) for shift in shifts]


def _measures(name: str, before: pa.Table, new: pa.Table) -> _Tested:
    column, unit = MEASURES[name]
    old, now = (_numbers(table, column) for table in (before, new))
    found = stats.ks_2samp(old, now)
    was, is_now = (f"median {np.median(values):.3g} {unit}" for values in (old, now))
    return _Tested(name, was, is_now, float(found.statistic), float(found.pvalue))


def _mixes(name: str, before: Sequence[str], new: Sequence[str]) -> _Tested:
    counts = [Counter(before), Counter(new)]
    order = {word: place for place, word in enumerate(EXPRESSIONS)}
    names = sorted(set(before) | set(new), key=lambda word: (order.get(word, -1), word))
    table = np.array([[count[word] for word in names] for count in counts])
    was, is_now = (_mix(count, names) for count in counts)
    if len(names) < 2:
        return _Tested(name, was, is_now, 0.0, 1.0)
    p_value = float(stats.chi2_contingency(table, correction=False).pvalue)
    return _Tested(name, was, is_now, float(association(table, method="cramer")), p_value)


def _mix(count: Counter[str], names: Sequence[str]) -> str:
    total = sum(count.values())
    return ", ".join(f"{name} {count[name] / total:.0%}" for name in names)


def _known(table: pa.Table, column: str) -> list[str]:
    return [str(value) for value in table[column].to_pylist()]


def _agreement(table: pa.Table) -> list[str]:
    pairs = zip(table["expression"].to_pylist(), table["predicted"].to_pylist(), strict=True)
    return ["agreed" if label == said else "contradicted" for label, said in pairs]


def _numbers(table: pa.Table, column: str) -> NDArray[np.float64]:
    return np.array(table[column].drop_null().to_pylist(), dtype=np.float64)
