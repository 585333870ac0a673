"""The searches' part of the report: tables of trials, and Optuna's plots of them."""

import io
import json
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.visualization.matplotlib import plot_parallel_coordinate, plot_param_importances

from mien.config import MienError, Params
from mien.evaluation.figures import DPI
from mien.evaluation.rows import percent

FEWEST = 4
"""Trials of which Optuna's plots say anything."""


@dataclass(frozen=True)
class SearchShown:
    """One search, ready to be shown."""

    name: str
    sentences: Sequence[str]
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    drawn: Mapping[str, str]  # name of a picture -> what it shows


def read_searches(params: Params, tuned: Path) -> dict[str, dict[str, Any]]:
    """What stage `tune` has written, by experiment; those without a search are left out.

    MienError: a file is not what that stage writes.
    """
    found = {}
    for name in params.searches:
        file = tuned / f"{name}.json"
        if not file.is_file():
            continue
        try:
            told = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise MienError(f"{file} is not JSON ({error}); delete it and run `dvc repro`.") from error
        if told:
            found[name] = told
    return found


def show_search(name: str, told: Mapping[str, Any]) -> SearchShown:
    """Tables and sentences of one search."""
    keys = sorted(told["settings"])
    trials = sorted(
        told["trials"], key=lambda t: (-(t["value"] or 0.0) * (t["state"] == "finished"), t["number"])
    )
    header = ("trial", *keys, f"{told['objective']}, %", told["unit"], "")
    rows = [
        (
            str(t["number"]),
            *(_short(t["settings"][k]) for k in keys),
            percent(t["value"]),
            str(t["length"]),
            _state(t),
        )
        for t in trials
    ]
    return SearchShown(name, _sentences(told), header, rows, _captions(name, told))


def draw_search(name: str, told: Mapping[str, Any]) -> dict[str, bytes]:
    """Optuna's parallel coordinates and importances as PNG, by picture name; none of too few trials."""
    if not _captions(name, told):
        return {}
    study = study_of(told)
    label = f"{told['objective']}{_when(told)}"
    plt.switch_backend("Agg")
    with warnings.catch_warnings(), plt.rc_context():  # Optuna changes the style of all later figures
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        drawn = {f"search-parallel-{name}": _png(plot_parallel_coordinate(study, target_name=label))}
        drawn[f"search-importance-{name}"] = _png(plot_param_importances(study, target_name=label))
    return drawn


def study_of(told: Mapping[str, Any]) -> optuna.Study:
    """The trials as Optuna's plots take them, under the objective that all of them have."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = {key: _distribution(dimension) for key, dimension in told["space"].items()}
    study = optuna.create_study(direction="maximize")
    for settings, value in _comparable(told):
        study.add_trial(optuna.create_trial(params=settings, distributions=space, value=value))
    return study


def _comparable(told: Mapping[str, Any]) -> list[tuple[dict[str, Any], float]]:
    """Settings and objective of all trials at the first rung, or where there is none of the finished ones."""
    first = str(told["rungs"][0]) if told["rungs"] else ""
    values = [t["rungs"].get(first) if first else t["value"] for t in told["trials"]]
    return [
        (t["settings"], v)
        for t, v in zip(told["trials"], values, strict=True)
        if v is not None and math.isfinite(v)
    ]


def _when(told: Mapping[str, Any]) -> str:
    return f" after {told['rungs'][0]} {told['unit']}" if told["rungs"] else ""


def _captions(name: str, told: Mapping[str, Any]) -> dict[str, str]:
    values = [value for _, value in _comparable(told)]
    if len(values) < FEWEST or max(values) == min(values):
        return {}
    what = f"{told['objective']}{_when(told)}"
    return {
        f"search-parallel-{name}": f"Every line is a trial; its colour is the {what}, which "
        "all of them reached.",
        f"search-importance-{name}": f"How much each setting decided over the {what} (PED-ANOVA). Of "
        f"{len(values)} trials that is a hint, not a finding.",
    }


def _sentences(told: Mapping[str, Any]) -> list[str]:
    trials = told["trials"]
    stopped = [t for t in trials if t["state"] == "stopped"]
    failed = [t for t in trials if t["state"] == "failed"]
    finished = len(trials) - len(stopped) - len(failed)
    spent, whole = sum(t["length"] for t in trials), told["length"] * len(trials)
    faces = told["faces"]
    aliens = f" and {faces['aliens']} aliens" if faces["aliens"] else ""
    found = [
        f"{len(trials)} trials by {told['search']['algorithm']}: {finished} trained to their end, "
        f"{len(stopped)} stopped early, {len(failed)} failed; {spent} of {whole} {told['unit']} were "
        "trained.",
        f"Objective: {told['objective']} on {faces['validation']} validation faces{aliens}, after training "
        f"on {faces['train']}; no face that the experiment tests was read.",
    ]
    defaults = told["defaults"]["value"]
    if defaults is not None:
        gain = 100 * (told["best"] - defaults)
        found.append(
            f"Best {percent(told['best'])} %, settings of params.yaml {percent(defaults)} %: {gain:+.1f} "
            "points on the faces that chose, which flatters the best of many; the results are of others."
        )
    return found


def _state(trial: Mapping[str, Any]) -> str:
    first = "as in params.yaml" if trial["number"] == 0 else ""
    state = "" if trial["state"] == "finished" else trial["state"]
    return ", ".join(word for word in (first, state, trial["sentence"]) if word)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _distribution(dimension: Any) -> BaseDistribution:
    if isinstance(dimension, list):
        return CategoricalDistribution(dimension)
    low, high, log = dimension["low"], dimension["high"], dimension["log"]
    whole = isinstance(low, int) and isinstance(high, int)
    return IntDistribution(low, high, log=log) if whole else FloatDistribution(low, high, log=log)


def _png(axes: Any) -> bytes:
    figure, data = axes.figure, io.BytesIO()
    figure.set_size_inches(8, 4)
    figure.tight_layout()
    figure.savefig(data, format="png", dpi=DPI)
    plt.close(figure)
    return data.getvalue()
