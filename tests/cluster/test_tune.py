"""A search as a user meets it: `python pipeline/tune.py`, killed in the middle and typed again."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from mien.training.searching import SearchPlan, make_search
from mien.training.trials import CONFIG, OUTCOME, TRIALS
from tests import striped
from tests.cluster.test_train import PATIENCE_S, REPOSITORY, keepers_of, wait_for, write_params
from tests.training.test_searching import params

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(400)]


def start(root: Path, name: str) -> subprocess.Popen[bytes]:
    words = [sys.executable, str(REPOSITORY / "pipeline" / "tune.py"), "tiny", "shards", "tuned/tiny.json"]
    environment = {
        k: v for k, v in os.environ.items() if k not in ("MLFLOW_TRACKING_URI", "MIEN_RAY_ADDRESS")
    }
    with (root / name).open("wb") as log:
        return subprocess.Popen(
            words, cwd=root, env=environment, stdout=log, stderr=log, start_new_session=True
        )


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A search of three trials whose driver is killed when one has ended and another is under way."""
    root = tmp_path_factory.mktemp("tune")
    shards = striped.write_corpus(root, people=10)
    (root / "tuned").mkdir()
    wanted = params(root, search={"trials": 3}, settings={"epochs": 4})
    write_params(wanted, root)
    search = make_search(wanted, "tiny", shards)
    trials = Path(search.store.uri) / TRIALS

    def ended() -> list[Path]:
        return list(trials.glob(f"*/{OUTCOME}"))

    first = start(root, "first.log")
    wait_for(
        "a trial that has ended beside one that has not",
        lambda: ended() and len(list(trials.glob(f"*/{CONFIG}"))) > len(ended()),
        first,
    )
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert not (root / "tuned" / "tiny.json").exists()
    wait_for("the end of the killed stage's Ray", lambda: not keepers_of(first.pid))
    before = {path: path.stat().st_mtime_ns for path in ended()}
    begun = {path: path.read_text() for path in trials.glob(f"*/{CONFIG}")}
    again = start(root, "again.log")
    assert again.wait(PATIENCE_S) == 0, (root / "again.log").read_text()
    return {"root": root, "search": search, "before": before, "begun": begun, "driver": again.pid}


def test_no_finished_trial_is_lost_and_every_begun_one_is_ended(killed: dict[str, Any]) -> None:
    assert 1 <= len(killed["before"]) < len(killed["begun"])
    for path, changed in killed["before"].items():
        assert path.stat().st_mtime_ns == changed
    for path, text in killed["begun"].items():
        assert path.read_text() == text
        assert path.with_name(OUTCOME).exists()
    said = (killed["root"] / "again.log").read_text()
    assert f"{3 - len(killed['before'])} of 3 trials to train" in said
    assert not [line for line in said.splitlines() if "pid=" in line], "Ray talks to the user"
    wait_for("the end of its Ray", lambda: not keepers_of(killed["driver"]))


def test_the_best_of_three_trials_is_written_and_none_is_double(killed: dict[str, Any]) -> None:
    told = json.loads((killed["root"] / "tuned" / "tiny.json").read_text())
    trials = told["trials"]
    assert [trial["number"] for trial in trials] == [0, 1, 2]
    assert len({trial["name"] for trial in trials}) == 3
    assert trials[0]["settings"] == {"learning_rate": 0.001}
    finished = [trial for trial in trials if trial["state"] == "finished"]
    assert {trial["state"] for trial in trials} <= {"finished", "stopped"}
    assert all(trial["length"] == 4 for trial in finished)
    assert all(str(trial["length"]) in trial["rungs"] for trial in trials if trial["state"] == "stopped")
    assert told["best"] == max(trial["value"] for trial in finished) >= trials[0]["value"]
    search: SearchPlan = killed["search"]
    assert (search.store / TRIALS / trials[0]["name"]).names() == sorted(
        [CONFIG, OUTCOME, "cells", "verdict-1.json", "verdict-2.json"]
    )
    assert search.store.names() == [TRIALS]


def test_mlflow_has_the_search_once_and_each_trial_once(killed: dict[str, Any]) -> None:
    client = MlflowClient(f"sqlite:///{killed['root'] / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("mien").experiment_id])
    assert sorted(run.data.tags["kind"] for run in runs) == ["search", *["trial"] * 3]
    assert all(run.info.status == "FINISHED" for run in runs)
