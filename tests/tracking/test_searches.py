"""A search's runs on a real SQLite store."""

from pathlib import Path

import pytest

from mien.tracking.searches import BEST, OBJECTIVE, SearchTracker
from mien.tracking.server import connect
from mien.training.searching import make_search
from mien.training.trials import Trial
from tests import striped
from tests.training.test_searching import params

TRIALS = [
    Trial(0, {"learning_rate": 0.001}, "finished", 0.5, 2, 3.0, {1: 0.4}),
    Trial(1, {"learning_rate": 0.02}, "stopped", 0.25, 1, 1.0, {1: 0.25}),
    Trial(2, {"learning_rate": 0.05}, "failed", None, 0, 1.0, {}, "the loss is not finite"),
]


@pytest.mark.slow
def test_a_killed_search_goes_on_in_the_same_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    client = connect(tmp_path)
    search = make_search(params(tmp_path), "tiny", striped.write_corpus(tmp_path, people=10))
    killed = SearchTracker(client, search, tmp_path)
    killed(TRIALS[0])  # and then the process is gone
    again = SearchTracker(client, search, tmp_path)
    for trial in TRIALS:
        again(trial)
    told = again.finish(TRIALS)
    assert told["complete"]
    runs = client.search_runs([client.get_experiment_by_name("mien").experiment_id])
    parents = [run for run in runs if run.data.tags["kind"] == "search"]
    children = {int(run.data.tags["number"]): run for run in runs if run.data.tags["kind"] == "trial"}
    assert [run.info.run_id for run in parents] == [told["parent_run_id"]]
    assert len(runs) == 1 + len(TRIALS)
    for trial in TRIALS:
        run = children[trial.number]
        assert run.data.tags["mlflow.parentRunId"] == told["parent_run_id"]
        assert run.data.params == {"learning_rate": str(trial.settings["learning_rate"])}
        history = client.get_metric_history(run.info.run_id, OBJECTIVE)
        points = dict(trial.rungs or {}) | ({trial.length: trial.value} if trial.value is not None else {})
        assert {m.step: m.value for m in history} == points
        assert len(history) == len(points)
    assert children[2].info.status == "FAILED"
    assert children[2].data.tags["error"] == "the loss is not finite"
    assert parents[0].data.metrics == {"trials": 3, "stopped": 1, BEST: 0.5}
    assert parents[0].data.params == {"best.learning_rate": "0.001"}


def test_a_server_that_is_away_delays_runs_and_stops_no_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    search = make_search(params(tmp_path), "tiny", striped.write_corpus(tmp_path, people=10))
    tracker = SearchTracker(connect(tmp_path), search, tmp_path)
    tracker(TRIALS[0])
    assert not tracker.finish(TRIALS[:1])["complete"]
    assert "they are sent when this stage runs again" in caplog.text
