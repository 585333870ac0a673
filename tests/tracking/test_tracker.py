"""Runs and figures on a real SQLite store."""

from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from mien.config.train import Cell
from mien.tracking.identity import DataSet, Facts
from mien.tracking.server import NOTE, connect, experiment_id
from mien.tracking.tracker import FinishedCell, Tracker
from mien.training.reports import CellReport
from mien.training.storage import Storage

CELLS = (Cell(0, 0), Cell(1, 0))


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return connect(tmp_path)


def facts(root: Path) -> Facts:
    return Facts(
        experiment="demo",
        method="resnet18",
        corpus="rendered",
        protocol={"by": "subject", "folds": 4},
        config={"preset": "demo", "methods": {"resnet18": {}}},
        settings={"method": {"lr": 0.1}, "train": {"workers": 1}},
        dataset=DataSet("rendered", "ab" * 32, "data/shards/rendered", {"samples": 12}),
        cells=CELLS,
        root=root,
    )


def report(cell: Cell, epoch: int) -> CellReport:
    values = {"loss": 1.0 / (epoch + 1), "faces_per_second": 100.0}
    load = {"cpu_utilization_percentage": 50.0}
    return CellReport("demo", cell, "expression", epoch, 3, values, (epoch + 1) / 3, 1e9 + epoch, load)


def finished(cell: Cell) -> FinishedCell:
    curves = [("expression", epoch, "loss", 1.0 / (epoch + 1)) for epoch in range(3)]
    return FinishedCell(cell, curves, summary={"validation_mean_accuracy": 0.5 + cell.fold / 4})


def steps(client: MlflowClient, run_id: str, key: str = "expression/loss") -> list[int]:
    return sorted(m.step for m in client.get_metric_history(run_id, key))


@pytest.mark.slow
def test_a_restart_goes_on_in_the_same_runs_and_no_figure_is_lost_or_doubled(
    client: MlflowClient, tmp_path: Path
):
    store = Storage(str(tmp_path / "store"))
    killed = Tracker(client, facts(tmp_path), store)
    killed(report(CELLS[0], 0))
    killed(report(CELLS[0], 1))
    killed._stop()  # the process is gone; epoch 2's report never arrived anywhere
    again = Tracker(client, facts(tmp_path), store)
    again(report(CELLS[0], 1))  # replayed after a restart
    again(report(CELLS[1], 0))
    ids = again.finish([finished(cell) for cell in CELLS])

    runs = client.search_runs([experiment_id(client, tmp_path)])
    assert {run.info.run_id for run in runs} == {ids["parent_run_id"], *ids["children"].values()}
    for cell in CELLS:
        run = client.get_run(ids["children"][cell.name])
        assert steps(client, run.info.run_id) == [0, 1, 2]
        assert run.data.tags["mlflow.parentRunId"] == ids["parent_run_id"]
        assert run.data.tags["fold"] == str(cell.fold)
        assert run.data.params["method.lr"] == "0.1"
        assert run.info.status == "FINISHED"
        assert run.inputs.dataset_inputs[0].dataset.name == "rendered"
        assert [f.path for f in client.list_artifacts(run.info.run_id)] == ["params.yaml"]
    assert client.get_run(ids["parent_run_id"]).data.metrics[
        "mean validation_mean_accuracy"
    ] == pytest.approx(0.625)
    assert ids["complete"] is True
    parent = client.get_run(ids["parent_run_id"])
    assert parent.data.tags[NOTE].startswith("`resnet18` on `rendered`, 2 cells")
    assert NOTE in client.get_experiment(parent.info.experiment_id).tags


@pytest.mark.slow
def test_a_server_that_is_away_costs_nothing_but_time(
    client: MlflowClient, tmp_path: Path, monkeypatch, caplog
):
    away = True
    log_batch, create_run = client.log_batch, client.create_run

    def flaky(call):
        def wrapped(*words, **options):
            if away:
                raise MlflowException("no route to host")
            return call(*words, **options)

        return wrapped

    monkeypatch.setattr(client, "log_batch", flaky(log_batch))
    monkeypatch.setattr(client, "create_run", flaky(create_run))
    tracker = Tracker(client, facts(tmp_path), Storage(str(tmp_path / "store")))
    for epoch in range(3):
        tracker(report(CELLS[0], epoch))
    tracker._stop()
    assert "does not answer" in caplog.text
    lost = tracker.finish([finished(CELLS[0])])
    assert lost["complete"] is False
    assert lost["parent_run_id"] is None
    away = False
    ids = tracker.finish([finished(CELLS[0])])
    assert ids["complete"] is True
    assert steps(client, ids["children"]["fold0-seed0"]) == [0, 1, 2]
    assert steps(client, ids["children"]["fold0-seed0"], "expression/faces_per_second") == [0, 1, 2]
