"""Trials of a search under Ray Tune: each a function that drives a worker group of Ray Train.

Imported only once this process is connected: Ray reads its environment at import.

Tune would end a trial that ASHA gives up by killing it, and the placement group of its workers would stay
taken, because Ray frees it by asking the dashboard, which the local Ray does not have. So the scheduler
writes its verdict into the storage, the workers wait for it at each rung, and a trial ends by itself.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import optuna
import ray.tune
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from ray.train import TrainingFailedError
from ray.tune.integration.ray_train import TuneReportCallback
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler
from ray.tune.search.optuna import OptunaSearch
from ray.util.placement_group import PlacementGroup, remove_placement_group

from mien.cluster.groups import fit_group
from mien.cluster.trial_worker import (
    GROUP,
    OBJECTIVE,
    PLACEMENT,
    REACHED,
    RUNG,
    TrialJob,
    search_cells,
    verdict_file,
)
from mien.config import MienError
from mien.config.train import Train
from mien.config.tune import Dimension, Value, grid
from mien.methods import with_settings
from mien.training.searching import SearchPlan
from mien.training.storage import Storage
from mien.training.trials import CONFIG, OUTCOME, TRIALS, Trial, trial_name

DRIVER_MB = 300
"""What a trial's driver asks for: memory, so that all CPUs stay for the workers and no cluster is without."""
STARTUP_SHARE = 3
"""One trial in so many is drawn at random before Optuna's estimates begin."""
FIRST_ESTIMATE = 4


def run_trials(search: SearchPlan, kept: Sequence[Trial], beside: int, published: Mapping[str, str]) -> None:
    """Run what is left of a search, unfinished trials first; outcomes land in its storage.

    kept: the trials of earlier attempts, by number. Returns when Tune has nothing left to run.
    """
    ended = [trial for trial in kept if trial.state != "open"]
    waiting = [dict(trial.settings) for trial in kept if trial.state == "open"]
    if not any(trial.number == 0 for trial in kept):
        waiting.insert(0, dict(search.defaults))
    left = search.search.trials - len(ended)
    if search.search.algorithm == "grid":
        known = {trial.name for trial in kept} | {trial_name(search.defaults)}
        points = grid(search.space, search.search.grid_steps)
        waiting += [point for point in points if trial_name(point) not in known]
        left = min(left, len(waiting))
    searcher = _searcher(search, ended, waiting[:left])
    scheduler = _Asha(search, ended) if search.rungs else _Numbered(search, ended)
    driver = ray.tune.with_parameters(drive, job=_job(search, published), train=search.plan.params.train)
    ray.tune.Tuner(
        ray.tune.with_resources(driver, {"cpu": 0, "memory": DRIVER_MB << 20}),
        tune_config=ray.tune.TuneConfig(
            num_samples=left,
            max_concurrent_trials=beside,
            search_alg=searcher,
            scheduler=scheduler,
            reuse_actors=True,
            trial_dirname_creator=_folder,
        ),
        run_config=ray.tune.RunConfig(
            name="tune",
            storage_path=search.store.root,
            storage_filesystem=search.store.files,
            failure_config=ray.tune.FailureConfig(max_failures=search.plan.params.train.max_failures),
            verbose=0,
        ),
    ).fit()


def drive(config: Mapping[str, Value], job: Mapping[str, Any], train: Train) -> None:
    """One trial, from where an earlier attempt left it; what Tune calls, in a process of its own."""
    trial = Storage(job["store"]) / TRIALS / trial_name(config)
    outcome = trial.read_json(OUTCOME)
    if outcome is None:
        _free(trial)
        try:
            _fit(trial, config, job, train)
        except TrainingFailedError:
            if trial.read_json(OUTCOME) is None:
                raise
        for name in (GROUP, PLACEMENT):
            trial.delete(name)
        outcome = trial.read_json(OUTCOME)
    if outcome is None:
        raise RuntimeError(f"the workers of {trial.uri} have left no outcome")
    if outcome["value"] is not None:  # else these settings cannot be trained, which no second try mends
        ray.tune.report({OBJECTIVE: outcome["value"], REACHED: outcome["length"], RUNG: 0})


def _fit(trial: Storage, config: Mapping[str, Value], job: Mapping[str, Any], train: Train) -> None:
    told = trial.read_json(CONFIG)
    if told is None:
        raise MienError(f"{trial.uri}/{CONFIG} is missing; run the search again.")
    own = TrialJob(**{**job, "store": trial.uri, "params": told["params"]})
    report = TuneReportCallback()  # type: ignore[no-untyped-call]
    fit_group(search_cells, own.as_config(), train, report)


def _free(trial: Storage) -> None:
    """Give back the CPUs of an attempt whose driver was killed: its placement group outlives it."""
    left = trial.read_json(PLACEMENT)
    if left is not None:
        remove_placement_group(PlacementGroup(ray.PlacementGroupID(bytes.fromhex(left["id"]))))
        trial.delete(PLACEMENT)


def _job(search: SearchPlan, published: Mapping[str, str]) -> dict[str, Any]:
    return {
        "experiment": search.experiment,
        "shards": str(search.plan.shards),
        "published": dict(published),
        "store": search.store.uri,
        "cells": [tuple(cell) for cell in search.cells],
        "rungs": list(search.rungs),
        "counts_cells": bool(search.plan.scores),
    }


def _folder(trial: Any) -> str:
    return str(trial.trial_id)


def distribution(dimension: Dimension) -> BaseDistribution:
    """A dimension as Optuna takes it."""
    if isinstance(dimension, list):
        return CategoricalDistribution(dimension)
    if dimension.whole:
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
    return FloatDistribution(float(dimension.low), float(dimension.high), log=dimension.log)


def _searcher(search: SearchPlan, ended: Sequence[Trial], waiting: list[dict[str, Value]]) -> OptunaSearch:
    """Optuna that knows the trials which have ended, and asks for those that wait before any of its own."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("ray.tune").setLevel(logging.ERROR)  # it misses the files that it was told not to write
    space = {key: distribution(dimension) for key, dimension in search.space.items()}
    found = OptunaSearch(
        space,
        metric=OBJECTIVE,
        mode="max",
        points_to_evaluate=waiting,
        sampler=_sampler(search, len(ended) + len(waiting)),
    )
    for trial in ended:
        found.add_evaluated_point(
            trial.settings, 0.0 if trial.value is None else trial.value, error=trial.value is None
        )
    return found


def _sampler(search: SearchPlan, known: int) -> BaseSampler:
    seed = search.search.seed + known  # going on with the first seed would draw the first trials again
    if search.search.algorithm == "optuna":
        startup = max(FIRST_ESTIMATE, math.ceil(search.search.trials / STARTUP_SHARE))
        return TPESampler(n_startup_trials=startup, seed=seed)
    return RandomSampler(seed=seed)


class _Numbered(FIFOScheduler):
    """Writes down each trial before it begins, so that it is known whatever becomes of this process."""

    def __init__(self, search: SearchPlan, ended: Sequence[Trial]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._log = _Log(search)

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Called by Tune."""
        self._log.begin(trial.config)


class _Asha(ASHAScheduler):
    """ASHA whose word is a file that the workers read; it never stops the first trial, with the defaults."""

    def __init__(self, search: SearchPlan, ended: Sequence[Trial]) -> None:
        super().__init__(
            time_attr=REACHED,
            metric=OBJECTIVE,
            mode="max",
            max_t=search.length,
            grace_period=search.search.grace,
            reduction_factor=search.search.reduction,
        )
        self._log = _Log(search)
        controller: Any = None  # which ASHA does not ask
        for kept in ended:
            stub: Any = SimpleNamespace(trial_id=f"kept-{kept.name}")
            super().on_trial_add(controller, stub)
            for rung, value in (kept.rungs or {}).items():
                super().on_trial_result(controller, stub, {REACHED: rung, OBJECTIVE: value})

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Called by Tune."""
        super().on_trial_add(tune_controller, trial)
        self._log.begin(trial.config)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Called by Tune, which is told to go on in any case."""
        if result[RUNG]:
            stop = super().on_trial_result(tune_controller, trial, result) == self.STOP
            self._log.judge(trial.config, result[RUNG], result[OBJECTIVE], stop)
        return str(self.CONTINUE)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Called by Tune. ASHA would take the end of a stopped trial for the next rung."""
        self._trial_info.pop(trial.trial_id, None)


class _Log:
    """What the scheduler writes into the storage; travels with it when Tune saves its state."""

    def __init__(self, search: SearchPlan) -> None:
        self._uri, self._first = (search.store / TRIALS).uri, trial_name(search.defaults)
        self._params, self._experiment = search.plan.params, search.experiment

    def begin(self, settings: Mapping[str, Value]) -> None:
        """A trial is to run: its number, its settings, and the parameters that follow from them."""
        place = Storage(self._uri)
        names, name = place.names(), trial_name(settings)
        if name in names and place.read_json(f"{name}/{CONFIG}") is not None:
            return
        params = with_settings(self._params, self._experiment, settings).model_dump(mode="json")
        number = 0 if name == self._first else 1 + sum(other != self._first for other in names)
        told = {"number": number, "settings": dict(settings), "params": params}
        (place / name).write_json(CONFIG, told)

    def judge(self, settings: Mapping[str, Value], rung: int, value: float, stop: bool) -> None:
        """ASHA's word at a rung."""
        name = trial_name(settings)
        verdict = {"stop": stop and name != self._first, "value": value}
        (Storage(self._uri) / name).write_json(verdict_file(rung), verdict)
