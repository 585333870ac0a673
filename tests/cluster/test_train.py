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

from mien import methods
from mien.config import Params
from mien.config.train import Cell
from mien.methods.resnet18 import ResNet18
from mien.training import loop
from mien.training.kept import fetched
from mien.training.plan import Plan, make_plan
from tests.cluster import disturbed as disturbances
from tests.striped import tiny, trained_here, write_corpus

REPOSITORY = Path(__file__).parents[2]
PATIENCE_S = 180
CURVES = ("train_loss", "validation_loss", "validation_mean_accuracy")
EPOCHS, STEPS_AN_EPOCH = 5, 2
STEPS = "steps.txt"

pytestmark = pytest.mark.slow


def wait_for(
    what: str, happened: Callable[[], object], driver: subprocess.Popen[bytes] | None = None
) -> None:
    until = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < until, f"waited {PATIENCE_S} s for {what}"
        assert driver is None or driver.poll() is None, f"the stage ended before {what}"
        time.sleep(0.05)


def start(root: Path, name: str, disturbed: str = "") -> subprocess.Popen[bytes]:
    """The stage, its output in the file NAME; `disturbed`: what stands in its workers' way."""
    words = [sys.executable, str(REPOSITORY / "pipeline" / "train.py")]
    if disturbed:
        words = [sys.executable, disturbances.__file__, disturbed, str(root / STEPS)]
    words += ["tiny", "shards", "runs/tiny", "tuned/tiny.json"]
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


def write_params(params: Params, root: Path) -> None:
    (root / "params.yaml").write_text(yaml.safe_dump(params.model_dump(mode="json")), encoding="utf-8")


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    root = tmp_path_factory.mktemp("train")
    write_corpus(root)
    settings = {"input_px": 32, "stem": "small", "batch_size": 8, "epochs": EPOCHS, "keep": "last"}
    train = {"checkpoint_every_s": 2 * STEPS_AN_EPOCH}  # in the shot workers a step is a second
    params = tiny(root, methods={"resnet18": settings}, train=train)
    write_params(params, root)
    return make_plan(params, "tiny", root / "shards")


@pytest.fixture(scope="module")
def shot(plan: Plan) -> dict[str, float]:
    """The stage with a worker killed in the first cell and itself killed in the second, then run again."""
    root, store = plan.shards.parent, Path(plan.store.uri)
    first = start(root, "first.log", "shot")
    kept = store / "cells" / "fold0-seed0" / "seal.json"
    wait_for("the first cell", kept.exists, first)
    sealed = kept.stat().st_mtime
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert not (root / "runs").exists()
    wait_for("the end of the killed stage's Ray", lambda: not keepers_of(first.pid))
    again = start(root, "again.log")
    assert again.wait(PATIENCE_S) == 0, (root / "again.log").read_text()
    return {"sealed": sealed, "driver": again.pid}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, plan: Plan) -> Plan:
    """The same cells, trained in this process with as many threads as a worker has."""
    root = tmp_path_factory.mktemp("undisturbed")
    cluster = plan.params.cluster.model_copy(update={"storage": str(root)})
    other = make_plan(plan.params.model_copy(update={"cluster": cluster}), "tiny", plan.shards)
    trained_here(other)
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
            assert len(seen) == len([r for r in table if r["name"] in CURVES]) == 3 * EPOCHS
            assert seen == pytest.approx(told, rel=1e-5)
    keys = pq.read_table(runs / "predictions.parquet", filters=[("part", "=", "test")])["key"].to_pylist()
    assert sorted(keys) == sorted(plan.index.keys.tolist())


def test_the_worker_was_shot_within_an_epoch_and_went_on_from_the_one_before(shot, plan: Plan):
    """The checkpoint is that of two epochs, a third one had been told, and a step of the fourth was done."""
    numbers = [int(word) for word in (plan.shards.parent / STEPS).read_text().split()]
    all_steps = range(EPOCHS * STEPS_AN_EPOCH)
    assert numbers[:13] == [*range(disturbances.DEADLY_STEP + 1), *list(all_steps)[2 * STEPS_AN_EPOCH :]]


def test_it_stays_in_the_same_runs_with_each_figure_once(shot, plan: Plan):
    client = MlflowClient(f"sqlite:///{plan.shards.parent / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("mien").experiment_id])
    children = {run.data.tags["fold"]: run for run in runs if run.data.tags["kind"] == "cell"}
    assert len(runs) == 3
    assert set(children) == {"0", "1"}
    for run in children.values():
        for name in CURVES:
            steps = [m.step for m in client.get_metric_history(run.info.run_id, f"classification/{name}")]
            assert sorted(steps) == list(range(EPOCHS))
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
    assert "fold1-seed0 (2/2) | classification 5/5 | loss" in said
    assert "fold0" not in said
    assert not [line for line in said.splitlines() if "pid=" in line], "Ray talks to the user"
    assert keepers_of(int(shot["driver"])) == []


def test_two_workers_move_like_one_and_predict_each_face_once(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Three steps, half of each batch each, batch-norm held and SiLU for rectifiers; the one worker is this process."""
    root = tmp_path
    (root / "shards").symlink_to(plan.shards)
    settings = {**plan.params.methods["resnet18"], "batch_size": 6, "epochs": 1}
    two = tiny(root, methods={"resnet18": settings}, train={"workers": 2})
    entry = two.experiments["tiny"].model_copy(update={"folds": [0]})
    two = two.model_copy(update={"experiments": {"tiny": entry}})
    write_params(two, root)
    driver = start(root, "two.log", "still")
    assert driver.wait(PATIENCE_S) == 0, (root / "two.log").read_text()
    table = pq.read_table(root / "runs" / "tiny" / "predictions.parquet")
    assert len(set(table["key"].to_pylist())) == len(table)
    split = plan.index.fold == Cell(0, 0).fold
    test = table.filter([part == "test" for part in table["part"].to_pylist()])
    assert sorted(test["key"].to_pylist()) == sorted(plan.index.keys[split].tolist())

    taken = []
    take = disturbances.still(loop.step)
    monkeypatch.setattr(loop, "step", lambda *words: taken.append(1) or take(*words))
    monkeypatch.setattr(ResNet18, "optimizer", disturbances.plain_descent)
    cluster = two.cluster.model_copy(update={"storage": str(root / "one")})
    one = make_plan(two.model_copy(update={"cluster": cluster}), "tiny", plan.shards)
    trained_here(one)
    assert len(taken) == 3
    torch.manual_seed(0)
    start_weights = methods.build("resnet18", one.settings, one.index.classes).state_dict()
    with fetched(one) as kept:
        ours = load_file(root / "runs" / "tiny" / "cells" / "fold0-seed0" / "model.safetensors")
        truth = load_file(kept[0].folder / "model" / "model.safetensors")
    moved = {name: float((value - start_weights[name]).abs().max()) for name, value in truth.items()}
    assert moved["network.fc.weight"] > 1e-3
    assert moved["network.conv1.weight"] > 1e-3
    for name, value in truth.items():
        torch.testing.assert_close(
            ours[name], value, rtol=0, atol=1e-5, msg=lambda said, of=name: f"{of}: {said}"
        )
