"""The trials of a search: what the storage keeps of each, and what is handed on to training."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from mien import methods
from mien.config import MienError, Params
from mien.config.tune import Value, holds
from mien.evaluation.results import write_json
from mien.training.searching import SearchPlan

TRIALS = "trials"
CONFIG, OUTCOME = "config.json", "outcome.json"
_VERDICT = re.compile(r"verdict-(\d+)\.json")

State = Literal["open", "finished", "stopped", "failed"]
Settings = Mapping[str, Value]


@dataclass(frozen=True)
class Trial:
    """One choice of settings and what came of it."""

    number: int  # in the order in which they were begun; 0 has the settings of params.yaml
    settings: dict[str, Value]
    state: State
    value: float | None = None  # the objective, on validation faces; of a stopped trial its last
    length: int = 0  # epochs, or normal classes of a one-class method, that it was trained for
    seconds: float = 0.0
    rungs: Mapping[int, float] | None = None  # the objective at each rung that it has reached
    sentence: str = ""  # why it failed

    @property
    def name(self) -> str:
        """Its folder in the storage."""
        return trial_name(self.settings)


def trial_name(settings: Settings) -> str:
    """Of the settings alone, so that an outcome is found again whatever became of the process that asked."""
    return hashlib.sha256(json.dumps(dict(settings), sort_keys=True).encode()).hexdigest()[:12]


def kept_trials(search: SearchPlan) -> list[Trial]:
    """Every trial that the storage has for this search and that its space still holds, by number."""
    place, found = search.store / TRIALS, []
    for name in place.names():
        config = place.read_json(f"{name}/{CONFIG}")
        if config is None or not all(holds(search.space[k], v) for k, v in config["settings"].items()):
            continue
        outcome = place.read_json(f"{name}/{OUTCOME}") or {"state": "open"}
        found.append(Trial(config["number"], config["settings"], rungs=_rungs(search, name), **outcome))
    return sorted(found, key=lambda trial: trial.number)


def _rungs(search: SearchPlan, name: str) -> dict[int, float]:
    trial = search.store / TRIALS / name
    found = {}
    for file in trial.names():
        match = _VERDICT.fullmatch(file)
        verdict = trial.read_json(file) if match else None
        if match and verdict is not None:
            found[int(match[1])] = float(verdict["value"])
    return dict(sorted(found.items()))


def best_of(trials: Sequence[Trial]) -> Trial:
    """The trial with the highest objective among those trained to their end; of equals the first.

    MienError: none was, and why the first did not.
    """
    finished = [trial for trial in trials if trial.state == "finished" and trial.value is not None]
    if not finished:
        why = next((trial.sentence for trial in trials if trial.sentence), "none has been begun")
        raise MienError(f"no trial was trained to its end ({why}); mend that and run again.")
    return max(finished, key=lambda trial: (trial.value, -trial.number))


def write_tuned(into: Path, search: SearchPlan, trials: Sequence[Trial], mlflow: Mapping[str, Any]) -> None:
    """Write what a search has found: the best settings, which `with_tuned` takes, and every trial."""
    best, first = best_of(trials), next((t for t in trials if t.number == 0), None)
    told = {
        "experiment": search.experiment,
        "method": search.plan.method,
        "settings": best.settings,
        "best": best.value,
        "defaults": {"settings": dict(search.defaults), "value": first.value if first else None},
        "objective": search.objective,
        "unit": search.unit,
        "length": search.length,
        "rungs": list(search.rungs),
        "faces": dict(search.faces),
        "cells": [cell.name for cell in search.cells],
        "space": {k: d if isinstance(d, list) else d.model_dump() for k, d in search.space.items()},
        "search": search.search.model_dump(mode="json"),
        "digest": search.digest,
        "trials": [_told(trial) for trial in trials],
        "mlflow": dict(mlflow),
    }
    write_json(told, into)


def with_tuned(params: Params, experiment: str, tuned: Path) -> Params:
    """The parameters with the settings that a search has found, where the experiment asks for them.

    MienError: the file is not there or no search wrote it.
    """
    entry = params.experiments.get(experiment)
    if entry is None or not entry.tuned:
        return params
    try:
        settings = json.loads(tuned.read_text(encoding="utf-8"))["settings"]
    except (OSError, ValueError, KeyError) as error:
        raise MienError(
            f"experiments.{experiment}.tuned is true, but {tuned} has no settings ({error}); run `mien tune "
            f"{experiment}`."
        ) from error
    return methods.with_settings(params, experiment, settings)


def prune_search(search: SearchPlan) -> None:
    """Remove what earlier searches of this experiment left, and of this one all but its trials.

    Other digests in an object store may be somebody else's search, so they stay.
    """
    own = search.digest[:12]
    for name in search.home.names() if search.home.is_local else []:
        if name != own:
            search.home.delete(name)
    for name in search.store.names():
        if name != TRIALS:
            search.store.delete(name)


def _told(trial: Trial) -> dict[str, Any]:
    return asdict(trial) | {"name": trial.name, "rungs": {str(k): v for k, v in (trial.rungs or {}).items()}}
