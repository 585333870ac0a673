"""What the storage keeps of trials, and what of it reaches training."""

import json
from pathlib import Path
from typing import Any

import pytest

from mien import methods
from mien.config import MienError
from mien.training.searching import SearchPlan, make_search
from mien.training.trials import (
    CONFIG,
    OUTCOME,
    TRIALS,
    Trial,
    best_of,
    kept_trials,
    prune_search,
    trial_name,
    with_tuned,
    write_tuned,
)
from tests import striped
from tests.training.test_searching import params


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return striped.write_corpus(tmp_path_factory.mktemp("striped"), people=10)


@pytest.fixture
def search(shards: Path, tmp_path: Path) -> SearchPlan:
    return make_search(params(tmp_path), "tiny", shards)


def keep(
    search: SearchPlan, number: int, rate: float, outcome: dict[str, Any] | None, **rungs: float
) -> None:
    settings = {"learning_rate": rate}
    place = search.store / TRIALS / trial_name(settings)
    place.write_json(CONFIG, {"number": number, "settings": settings, "params": {}})
    for rung, value in rungs.items():
        place.write_json(f"verdict-{rung.removeprefix('r')}.json", {"stop": False, "value": value})
    if outcome is not None:
        place.write_json(OUTCOME, outcome)


def ended(state: str, value: float | None, length: int = 2, sentence: str = "") -> dict[str, Any]:
    told: dict[str, Any] = {"state": state, "value": value, "length": length, "seconds": 1.5}
    return told | ({"sentence": sentence} if sentence else {})


def test_trials_are_read_back_by_number(search: SearchPlan) -> None:
    keep(search, 1, 0.02, ended("stopped", 0.25, 1), r1=0.25)
    keep(search, 0, 0.001, ended("finished", 0.5), r1=0.4)
    keep(search, 2, 0.03, None, r1=0.3)
    keep(search, 3, 5.0, ended("finished", 0.9))  # the space has been narrowed since
    found = kept_trials(search)
    assert [(t.number, t.state, t.value) for t in found] == [
        (0, "finished", 0.5),
        (1, "stopped", 0.25),
        (2, "open", None),
    ]
    assert found[0].rungs == {1: 0.4}
    assert found[0].settings == {"learning_rate": 0.001}


def test_the_best_was_trained_to_its_end(search: SearchPlan) -> None:
    trials = [
        Trial(0, {"learning_rate": 0.1}, "finished", 0.5),
        Trial(1, {"learning_rate": 0.2}, "stopped", 0.9),
        Trial(2, {"learning_rate": 0.3}, "finished", 0.5),
    ]
    assert best_of(trials).number == 0  # of equals the first
    failed = Trial(0, {"learning_rate": 0.1}, "failed", sentence="the loss is not finite")
    with pytest.raises(MienError, match=r"no trial was trained to its end \(the loss is not finite\)"):
        best_of([failed, trials[1]])


def test_training_takes_the_best_settings_where_it_is_asked_to(search: SearchPlan, tmp_path: Path) -> None:
    keep(search, 0, 0.001, ended("finished", 0.5))
    keep(search, 1, 0.02, ended("finished", 0.75))
    file = tmp_path / "tuned" / "tiny.json"
    write_tuned(file, search, kept_trials(search), {"complete": True})
    told = json.loads(file.read_text())
    assert (told["settings"], told["best"]) == ({"learning_rate": 0.02}, 0.75)
    assert told["defaults"] == {"settings": {"learning_rate": 0.001}, "value": 0.5}
    plain = params(tmp_path)
    assert with_tuned(plain, "tiny", file) is plain
    tuned = with_tuned(params(tmp_path, tuned=True), "tiny", file)
    assert methods.settings(tuned, "tiny").model_dump()["learning_rate"] == 0.02
    assert methods.settings(tuned, "tiny").model_dump()["epochs"] == 2
    with pytest.raises(MienError, match=r"absent.json has no settings .* run `mien tune tiny`"):
        with_tuned(params(tmp_path, tuned=True), "tiny", tmp_path / "absent.json")


def test_a_setting_within_another_changes_alone(tmp_path: Path) -> None:
    changed = methods.with_settings(params(tmp_path), "tiny", {"augmentation.flip": 0.0})
    before, after = (methods.settings(p, "tiny").model_dump() for p in (params(tmp_path), changed))
    assert after["augmentation"] == before["augmentation"] | {"flip": 0.0}
    assert {k: v for k, v in after.items() if k != "augmentation"} == {
        k: v for k, v in before.items() if k != "augmentation"
    }


def test_an_experiment_names_only_what_differs_within_a_section(tmp_path: Path) -> None:
    given = methods.with_settings(
        params(tmp_path), "tiny", {"augmentation.flip": 0.25, "augmentation.zoom": 0.2}
    )
    entry = given.experiments["tiny"]
    under = {**given.methods, entry.method: {**given.methods[entry.method], **entry.settings}}
    own = entry.model_copy(update={"settings": {"augmentation": {"flip": 0.0}}})
    told = given.model_copy(update={"methods": under, "experiments": {"tiny": own}})
    before, after = (methods.settings(p, "tiny").model_dump() for p in (given, told))
    assert before["augmentation"]["zoom"] == 0.2
    assert after == before | {"augmentation": before["augmentation"] | {"flip": 0.0}}


def test_pruning_keeps_the_outcomes_and_drops_older_searches(search: SearchPlan) -> None:
    keep(search, 0, 0.001, ended("finished", 0.5))
    trial = search.store / TRIALS / trial_name({"learning_rate": 0.001})
    (search.store / "tune").write_json("state.json", {})
    (search.home / "older").write_json("old.json", {})
    prune_search(search)
    assert search.home.names() == [search.digest[:12]]
    assert search.store.names() == [TRIALS]
    assert trial.names() == sorted([CONFIG, OUTCOME])
