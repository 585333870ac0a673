"""Ray Train as a user meets it: `python pipeline/train.py`, shot at twice, and an undisturbed training."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from mlflow import MlflowClient
from safetensors.torch import load_file

from mien.config import Params
from mien.config.train import Cell
from mien.training.kept import fetched
from mien.training.plan import Plan, make_plan
from tests.striped import tiny, trained_here, write_corpus

REPOSITORY = Path(__file__).parents[2]
PATIENCE_S = 180
CURVES = ("train_loss", "validation_loss", "validation_mean_accuracy")

pytestmark = pytest.mark.slow


def wait_for(
    what: str, happened: Callable[[], object], driver: subprocess.Popen[bytes] | None = None
) -> None:
    until = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < until, f"waited {PATIENCE_S} s for {what}"
        assert driver is None or driver.poll() is None, f"the stage ended before {what}"
        time.sleep(0.05)


def start(root: Path, name: str) -> subprocess.Popen[bytes]:
    words = [sys.executable, str(REPOSITORY / "pipeline" / "train.py"), "tiny", "shards", "runs/tiny"]
    environment = {
        k: v for k, v in os.environ.items() if k not in ("MLFLOW_TRACKING_URI", "MIEN_RAY_ADDRESS")
    }
    with (root / name).open("wb") as log:
        return subprocess.Popen(
            words, cwd=root, env=environment, stdout=log, stderr=log, start_new_session=True
        )


def keepers_of(driver: int) -> list[psutil.Process]:
    """The process that keeps the Ray which a driver has had started, while it is there."""
    running = psutil.process_iter(["cmdline"])
    keepers = [p for p in running if "mien.cluster.keeper" in (p.info["cmdline"] or [])]
    return [p for p in keepers if str(driver) in p.info["cmdline"]]


def workers_of(driver: int) -> list[psutil.Process]:
    """The training processes of that Ray."""
    below = [child for keeper in keepers_of(driver) for child in keeper.children(recursive=True)]
    return [p for p in below if p.name().startswith("ray::RayTrain")]


def write_params(params: Params, root: Path) -> None:
    (root / "params.yaml").write_text(yaml.safe_dump(params.model_dump(mode="json")), encoding="utf-8")


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    root = tmp_path_factory.mktemp("train")
    write_corpus(root)
    settings = {"input_px": 32, "stem": "small", "batch_size": 8, "epochs": 3, "keep": "last"}
    params = tiny(root, methods={"resnet18": settings})
    write_params(params, root)
    return make_plan(params, "tiny", root / "shards")


@pytest.fixture(scope="module")
def shot(plan: Plan) -> dict[str, float]:
    """The stage with a worker killed in the first cell and itself killed in the second, then run again."""
    root, store = plan.shards.parent, Path(plan.store.uri)
    first = start(root, "first.log")
    checkpoints = lambda: list(store.glob("*-group0/checkpoint_*/seal.json"))  # noqa: E731
    wait_for("the first checkpoint", checkpoints, first)
    victims = workers_of(first.pid)
    assert len(victims) == 1
    victims[0].kill()
    kept = store / "cells" / "fold0-seed0" / "seal.json"
    wait_for("the first cell", kept.exists, first)
    sealed = kept.stat().st_mtime
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert not (root / "runs").exists()
    wait_for("the end of the killed stage's Ray", lambda: not keepers_of(first.pid))
    again = start(root, "again.log")
    assert again.wait(PATIENCE_S) == 0, (root / "again.log").read_text()
    return {"victim": victims[0].pid, "sealed": sealed, "driver": again.pid}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, plan: Plan) -> Plan:
    """The same cells, trained in this process with as many threads as a worker has."""
    root = tmp_path_factory.mktemp("undisturbed")
    cluster = plan.params.cluster.model_copy(update={"storage": str(root)})
    other = make_plan(plan.params.model_copy(update={"cluster": cluster}), "tiny", plan.shards)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        trained_here(other)
    finally:
        torch.set_num_threads(threads)
    return other


def test_it_ends_with_the_weights_and_figures_of_an_undisturbed_training(shot, plan: Plan, undisturbed: Plan):
    runs = plan.shards.parent / "runs" / "tiny"
    with fetched(undisturbed) as kept:
        for cell in kept:
            ours = load_file(runs / "cells" / cell.cell.name / "model.safetensors")
            truth = load_file(cell.folder / "model" / "model.safetensors")
            assert ours.keys() == truth.keys()
            for name, value in truth.items():
                torch.testing.assert_close(ours[name], value, rtol=1e-5, atol=1e-6)
            table = pq.read_table(
                runs / "curves.parquet", filters=[("fold", "=", cell.cell.fold)]
            ).to_pylist()
            seen = {(r["epoch"], r["name"]): r["value"] for r in table if r["name"] in CURVES}
            told = {(epoch, name): value for _, epoch, name, value in cell.curves() if name in CURVES}
            assert len(seen) == len([r for r in table if r["name"] in CURVES]) == 9
            assert seen == pytest.approx(told, rel=1e-5)
    keys = pq.read_table(runs / "predictions.parquet", filters=[("part", "=", "test")])["key"].to_pylist()
    assert sorted(keys) == sorted(plan.index.keys.tolist())


def test_it_stays_in_the_same_runs_with_each_figure_once(shot, plan: Plan):
    client = MlflowClient(f"sqlite:///{plan.shards.parent / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("mien").experiment_id])
    children = {run.data.tags["fold"]: run for run in runs if run.data.tags["kind"] == "cell"}
    assert len(runs) == 3
    assert set(children) == {"0", "1"}
    for run in children.values():
        for name in CURVES:
            steps = [m.step for m in client.get_metric_history(run.info.run_id, f"classification/{name}")]
            assert sorted(steps) == [0, 1, 2]
        assert run.info.status == "FINISHED"
        assert run.inputs.dataset_inputs[0].dataset.digest == plan.index.digest[:36]
        names = {file.path for file in client.list_artifacts(run.info.run_id)}
        assert names == {"params.yaml", "curves.parquet", "predictions.parquet"}
        assert "system/cpu_utilization_percentage" in run.data.metrics


def test_a_finished_cell_is_not_trained_again_and_nothing_is_left_behind(shot, plan: Plan):
    store = Path(plan.store.uri)
    assert (store / "cells" / "fold0-seed0" / "seal.json").stat().st_mtime == shot["sealed"]
    assert sorted(path.name for path in store.iterdir()) == ["cells", "mlflow.json"]
    said = (plan.shards.parent / "again.log").read_text()
    assert "1 of 2 cells to train" in said
    assert "fold1-seed0 (2/2) | classification 3/3 | loss" in said
    assert "fold0" not in said
    assert not [line for line in said.splitlines() if "pid=" in line], "Ray talks to the user"
    assert keepers_of(int(shot["driver"])) == []


def test_two_workers_predict_each_face_once(plan: Plan, tmp_path: Path):
    root = tmp_path
    (root / "shards").symlink_to(plan.shards)
    settings = {**plan.params.methods["resnet18"], "epochs": 1}
    two = tiny(root, methods={"resnet18": settings}, train={"workers": 2})
    entry = two.experiments["tiny"].model_copy(update={"folds": [0]})
    write_params(two.model_copy(update={"experiments": {"tiny": entry}}), root)
    driver = start(root, "two.log")
    assert driver.wait(PATIENCE_S) == 0, (root / "two.log").read_text()
    table = pq.read_table(root / "runs" / "tiny" / "predictions.parquet")
    assert len(set(table["key"].to_pylist())) == len(table)
    split = plan.index.fold == Cell(0, 0).fold
    test = table.filter([part == "test" for part in table["part"].to_pylist()])
    assert sorted(test["key"].to_pylist()) == sorted(plan.index.keys[split].tolist())
