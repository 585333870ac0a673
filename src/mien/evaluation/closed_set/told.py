"""What an experiment's outcome tells the tables of EAN and HSNet."""

import math
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Any

from mien.evaluation.outcomes import Outcome
from mien.evaluation.rows import NONE, percent


def flipped(outcome: Outcome) -> float:
    """The share of training labels that were flipped."""
    return outcome.entry.label_noise.share


def settings_of(outcome: Outcome) -> dict[str, Any]:
    """The settings that its trainings had."""
    settings: dict[str, Any] = outcome.run["settings"]
    return settings


def accuracy(outcomes: Sequence[Outcome]) -> str:
    """Mean and spread over trainings; of several experiments each, by name."""
    told = [(o.name, spread([cell["accuracy"] for cell in o.scores["cells"]])) for o in outcomes]
    return told[0][1] if len(told) == 1 else "; ".join(f"{name}: {value}" for name, value in told) or NONE


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation in percent, of what is a number."""
    known = [value for value in values if value is not None and not math.isnan(value)]
    if not known:
        return NONE
    mean = percent(fmean(known))
    return mean if len(known) < 2 else f"{mean}±{percent(stdev(known))}"


def printed_as(value: float | None) -> str:
    """A figure of a paper, which is in percent already."""
    return NONE if value is None else f"{value:.2f}"


def corpora_of(outcomes: Sequence[Outcome]) -> list[str]:
    """Names, in the order of the experiments."""
    return list(dict.fromkeys(o.entry.corpus for o in outcomes))


def recorded(outcome: Outcome, name: str) -> list[float]:
    """A figure of the test part of every training that has it."""
    records = [cell.get("record") or {} for cell in outcome.run["cells"]]
    return [float(record[f"test_{name}"]) for record in records if f"test_{name}" in record]
