"""What the report knows of each one-class experiment, read from runs and results."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mien.config import Params
from mien.config.train import Experiment
from mien.evaluation.one_class.averages import Table, of_values, tabulate
from mien.evaluation.one_class.paper import CLASSES, METHODS, OURS
from mien.evaluation.one_class.results import MACRO
from mien.evaluation.outcomes import CELLS, learnt_numbers
from mien.evaluation.predictions import RUN
from mien.evaluation.results import SCORES, read_json

VALUES_SHOWN = 6  # of a fact that is no number
Values = Mapping[tuple[int, int, str], float]
"""(seed, fold, normal class) -> AUC, NaN for an empty cell."""


@dataclass(frozen=True)
class OneClassOutcome:
    """One one-class experiment: what was asked, what was run, what came out."""

    name: str
    entry: Experiment
    scores: Mapping[str, Any]  # scores.json
    run: Mapping[str, Any]  # run.json
    folder: Path  # runs/NAME
    parameters: int | None  # of the first saved model

    @property
    def method(self) -> str:
        """The method by the paper's name, or by mien's where the paper does not have it."""
        return METHODS.get(self.entry.method, self.entry.method)

    @property
    def ablation(self) -> str | None:
        """The row of Table 4, `101`: hierarchy, spatial, compact; None for another method."""
        if self.entry.method != OURS:
            return None
        settings = self.run["settings"]
        return "".join(str(int(settings[name])) for name in ("hierarchy", "spatial", "compact"))

    @property
    def headline(self) -> str:
        """The name of the score that counts."""
        return str(self.scores["scores"][0])

    @property
    def trials(self) -> dict[str, Mapping[str, Any]]:
        """What scores.json says of each trial."""
        return {trial["trial"]: trial for trial in self.scores["trials"]}

    def table(self, trial: str, score: str | None = None, figure: str = MACRO) -> Table:
        """The averages of a trial, under the headline score unless another is named."""
        own = (cell for cell in self.scores["cells"] if cell["trial"] == trial)
        return tabulate(own, figure, score or self.headline)

    def values(self, trial: str, score: str | None = None) -> Values:
        """The AUC of each cell of a trial."""
        found = {}
        for cell in self.scores["cells"]:
            if cell["trial"] == trial:
                value = cell[MACRO][score or self.headline]
                key = (cell["seed"], cell["fold"], cell["normal"])
                found[key] = math.nan if value is None else value
        return found

    @property
    def records(self) -> dict[str, str | list[Any]]:
        """What the cells' records say, each fact once: its values, or from which number to which."""
        told: dict[str, list[Any]] = {}
        for cell in self.run["cells"]:
            for key, value in cell["record"].items():
                values = value if isinstance(value, list) else [value]
                told.setdefault(key, []).extend(values)
        return {key: _in_brief(values) for key, values in told.items() if values}


def read_one_class(params: Params, results: Path, runs: Path) -> list[OneClassOutcome]:
    """The outcome of every one-class experiment that has results, in the order of the paper's rows."""
    found = [
        OneClassOutcome(
            name=name,
            entry=entry,
            scores=read_json(results / name / SCORES),
            run=read_json(runs / name / RUN),
            folder=runs / name,
            parameters=learnt_numbers(runs / name / CELLS),
        )
        for name, entry in params.experiments.items()
        if entry.trials and (results / name / SCORES).is_file()
    ]
    order = [*METHODS]
    return sorted(found, key=lambda o: order.index(o.entry.method) if o.entry.method in order else -1)


def in_order(classes: Sequence[str]) -> list[str]:
    """Expressions as the paper's columns have them, others behind."""
    return sorted(classes, key=lambda name: CLASSES.index(name) if name in CLASSES else len(CLASSES))


def difference(first: Values, second: Values) -> Table:
    """The averages of first less second over the cells that both have."""
    both = {key: first[key] - second[key] for key in first if key in second}
    return of_values({key: value for key, value in both.items() if not math.isnan(value)})


def _in_brief(values: list[Any]) -> str | list[Any]:
    """A few different values as they are; many numbers as their range."""
    different = [value for i, value in enumerate(values) if value not in values[:i]]
    if len(different) > 1 and all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in different
    ):
        return f"{min(different):.4g} to {max(different):.4g}"
    told = [f"{value} ({values.count(value)} times)" if len(different) > 1 else value for value in different]
    more = [f"{len(told) - VALUES_SHOWN} others"] if len(told) > VALUES_SHOWN else []
    return told[:VALUES_SHOWN] + more
