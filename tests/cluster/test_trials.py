"""ASHA's verdicts and Optuna's memory, without a Ray."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mien.cluster.trial_worker import OBJECTIVE, REACHED, RUNG, verdict_file
from mien.cluster.trials import _Asha, _searcher, distribution
from mien.config.tune import Span
from mien.training.searching import SearchPlan, make_search
from mien.training.trials import CONFIG, TRIALS, Trial, kept_trials, trial_name
from tests import striped
from tests.training.test_searching import params


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return striped.write_corpus(tmp_path_factory.mktemp("striped"), people=10)


@pytest.fixture
def search(shards: Path, tmp_path: Path) -> SearchPlan:
    return make_search(params(tmp_path, settings={"epochs": 8}), "tiny", shards)


def asked(scheduler: Any, settings: dict[str, float], rung: int, value: float) -> str:
    trial = SimpleNamespace(trial_id=trial_name(settings), config=settings)
    if rung == 1:
        scheduler.on_trial_add(None, trial)
    return scheduler.on_trial_result(None, trial, {REACHED: rung, OBJECTIVE: value, RUNG: rung})


def verdict(search: SearchPlan, settings: dict[str, float], rung: int) -> bool:
    told = (search.store / TRIALS / trial_name(settings)).read_json(verdict_file(rung))
    assert told is not None
    return bool(told["stop"])


def test_the_worse_half_is_stopped_by_a_file_and_never_the_defaults(search: SearchPlan) -> None:
    assert search.rungs == (1, 2, 4)
    scheduler = _Asha(search, [])
    first, good, bad = dict(search.defaults), {"learning_rate": 0.02}, {"learning_rate": 0.09}
    for settings, value in ((good, 0.9), (bad, 0.1), (first, 0.05)):
        assert asked(scheduler, settings, 1, value) == scheduler.CONTINUE  # Tune itself kills nothing
    assert [verdict(search, s, 1) for s in (good, bad, first)] == [False, True, False]
    numbers = {trial.name: trial.number for trial in kept_trials(search)}
    assert numbers == {trial_name(first): 0, trial_name(good): 1, trial_name(bad): 2}


def test_a_search_that_goes_on_remembers_the_rungs_of_trials_that_have_ended(search: SearchPlan) -> None:
    ended = [
        Trial(n, {"learning_rate": 0.01 + n / 100}, "finished", 0.9, 8, 1.0, {1: 0.8, 2: 0.9}) for n in (1, 2)
    ]
    middling = {"learning_rate": 0.05}
    asked(_Asha(search, []), middling, 1, 0.5)
    assert not verdict(search, middling, 1)  # alone it is the best
    asked(_Asha(search, ended), middling, 1, 0.5)
    assert verdict(search, middling, 1)


def test_a_report_at_no_rung_is_no_reason_to_stop(search: SearchPlan) -> None:
    scheduler, settings = _Asha(search, []), {"learning_rate": 0.02}
    trial = SimpleNamespace(trial_id="a", config=settings)
    scheduler.on_trial_add(None, trial)
    assert scheduler.on_trial_result(None, trial, {REACHED: 8, OBJECTIVE: 0.0, RUNG: 0}) == scheduler.CONTINUE
    assert (search.store / TRIALS / trial_name(settings)).names() == [CONFIG]


def test_trials_that_wait_come_first_and_those_that_ended_are_known(search: SearchPlan) -> None:
    ended = [Trial(n, {"learning_rate": 0.001 * (n + 1)}, "finished", 0.5, 8) for n in range(3)]
    ended.append(Trial(3, {"learning_rate": 0.09}, "failed", None))
    searcher = _searcher(search, ended, [{"learning_rate": 0.07}])
    assert searcher.suggest("a") == {"learning_rate": 0.07}
    drawn = searcher.suggest("b")["learning_rate"]
    assert 0.0001 <= drawn <= 0.1
    states = [trial.state.name for trial in searcher._ot_study.trials]
    assert sorted(states) == ["COMPLETE"] * 3 + ["FAIL"] + ["RUNNING"] * 2


def test_whole_numbers_stay_whole() -> None:
    kinds = [type(distribution(d)).__name__ for d in (Span(low=1, high=4), Span(low=1.0, high=4), [1, 2])]
    assert kinds == ["IntDistribution", "FloatDistribution", "CategoricalDistribution"]
