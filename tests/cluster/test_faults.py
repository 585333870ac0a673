"""What a training stands on fails in the middle of it: MLflow, the object store, a disk."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from infra.local.processes import Processes, free_ports
from infra.local.servers import answers
from mlflow import MlflowClient
from safetensors.torch import load_file

from mien.cluster import checkpoints
from mien.config import Params
from mien.training.kept import fetched
from mien.training.plan import Plan, make_plan
from mien.training.published import view
from mien.training.storage import is_intact
from tests.cluster.test_nodes import BATCH, HSNET, STEPS_AN_EPOCH, kill, start, steps
from tests.cluster.test_train import CURVES, PATIENCE_S, wait_for, write_params
from tests.object_store import object_store
from tests.striped import tiny, trained_here, write_corpus

OUTAGE_S, BUSY_S = 60, 30
LONG, SHORT = 200, 4  # epochs
PEOPLE, FACES = 24, 54
"""Whose tars are larger than half a cache of 1 MB, so that each epoch streams its faces from the store."""
DISK_MB = 16
WEIGHTS = "runs/tiny/cells/fold0-seed0/model.safetensors"

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(600)]


def params(root: Path, storage: Path | str, epochs: int, every_s: float = 0) -> Params:
    known = {"corpus": "striped", "second_corpus": "striped", "folds": [0], "validation_share": 0.25}
    return tiny(
        root,
        methods={"hsnet": {**HSNET, "epochs": epochs, "ktl": False, "keep": "last"}},
        cluster={
            "storage": str(storage), "cache_mb": 1, "object_store_mb": 100, "stage_timeout_s": 400
        },
        train={"checkpoint_every_s": every_s},
        experiments={"tiny": {"method": "hsnet", **known}},
    )  # fmt: skip


def said(root: Path) -> str:
    return (root / "stage.log").read_text(errors="replace")


def ends(driver: subprocess.Popen[bytes], root: Path) -> None:
    assert driver.wait(PATIENCE_S) == 0, said(root)


def trains_to_the_weights_of_an_undisturbed_training(root: Path, plan: Plan) -> None:
    trained_here(plan)
    with fetched(plan) as kept:
        truth = load_file(kept[0].folder / "model" / "model.safetensors")
        told = {(epoch, name): value for _, epoch, name, value in kept[0].curves() if name in CURVES}
    ours = load_file(root / WEIGHTS)
    assert ours.keys() == truth.keys()
    for name, value in truth.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-5, atol=1e-6)
    table = pq.read_table(root / "runs/tiny/curves.parquet").to_pylist()
    seen = {(row["epoch"], row["name"]): row["value"] for row in table if row["name"] in CURVES}
    assert seen == pytest.approx(told, rel=1e-5)


def every_figure_is_in_mlflow_once(root: Path, uri: str) -> None:
    client = MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name("mien").experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED"] * 2  # of the experiment and of its cell
    (cell,) = [run.info.run_id for run in runs if run.data.tags["kind"] == "cell"]
    curves = pq.read_table(root / "runs/tiny/curves.parquet").to_pylist()
    for name in {row["name"] for row in curves}:
        history = client.get_metric_history(cell, f"classification/{name}")
        told = sorted((metric.step, metric.value) for metric in history)
        assert told == sorted((row["epoch"], row["value"]) for row in curves if row["name"] == name), name


class Server:
    """An MLflow server that can go and come back at its address."""

    def __init__(self, folder: Path) -> None:
        self._processes = Processes(folder)
        (port,) = free_ports(1)
        self.uri = f"http://127.0.0.1:{port}"
        self._words = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
        self._words += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--workers", "1"]
        self._words += ["--artifacts-destination", str(folder / "artifacts")]

    def start(self) -> None:
        environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        process = self._processes.start("mlflow", self._words, environment)
        self._processes.wait_for("mlflow", process, lambda: answers(f"{self.uri}/health"))

    def kill(self) -> None:
        for process in self._processes.alive().values():
            kill(process)
            process.wait(10)

    def epochs(self) -> int:
        """How many epochs of the one cell it knows."""
        client = MlflowClient(self.uri)
        experiment = client.get_experiment_by_name("mien")
        runs = client.search_runs([experiment.experiment_id], "tags.kind = 'cell'") if experiment else []
        return len(client.get_metric_history(runs[0].info.run_id, "classification/train_loss")) if runs else 0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    made.start()
    yield made
    made.kill()


def test_mlflow_killed_for_a_minute_costs_no_figure_and_none_comes_twice(server: Server, tmp_path: Path):
    root = tmp_path / "root"
    write_corpus(root)
    write_params(params(root, "storage", LONG, every_s=600), root)
    driver = start(root, {"MLFLOW_TRACKING_URI": server.uri})
    wait_for("figures of some epochs", lambda: server.epochs() > 2, driver)
    server.kill()
    before = steps(root)[-1]["step"]
    time.sleep(OUTAGE_S)
    after = steps(root)[-1]["step"]
    assert after > before + 10  # training does not wait
    assert driver.poll() is None
    server.start()
    wait_for("the figures of the outage", lambda: server.epochs() > after // STEPS_AN_EPOCH, driver)
    (root / "steps.quick").touch()
    ends(driver, root)
    assert "MLflow does not answer" in said(root)
    assert "every figure has been sent since" in said(root)
    every_figure_is_in_mlflow_once(root, server.uri)


def test_a_store_that_is_busy_for_half_a_minute_costs_that_time_and_no_step_twice(tmp_path: Path):
    root = tmp_path
    write_corpus(root, people=PEOPLE)
    with object_store() as (store, address):
        write_params(params(root, f"{address}/team", SHORT), root)
        driver = start(root, store.environment())
        wait_for("a step of the second epoch", lambda: len(steps(root)) > 10, driver)
        store.status = 503
        asked = len(store.asked)
        time.sleep(BUSY_S)
        refused = store.asked[asked:]
        store.status = None
        assert refused
        assert driver.poll() is None
        ends(driver, root)
        assert [step["step"] for step in steps(root)] == list(range(SHORT * FACES // BATCH))
        for epoch in range(SHORT):
            keys = [k for s in steps(root) if s["step"] * BATCH // FACES == epoch for k in s["keys"]]
            assert len(keys) == len(set(keys)) == FACES
        every_figure_is_in_mlflow_once(root, f"sqlite:///{root}/mlflow.db")
        plan = make_plan(params(root, root / "undisturbed", SHORT), "tiny", root / "shards")
        published = f"{address}/team/shards/striped-{plan.index.digest[:16]}"
        assert any(path.endswith(".tar") for method, path in store.asked if method == "GET")
        view(published, root / "seen" / "striped", 1)
        trains_to_the_weights_of_an_undisturbed_training(root, make_plan(plan.params, "tiny", root / "seen"))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a few megabytes."""
    folder = tmp_path / "a-disk-of-its-own"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(folder)]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Take all that is left of a disk; the file that holds it."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(1 << 12)):
                pass
        except OSError:
            return filler
    raise AssertionError("a disk without an end")


@pytest.mark.parametrize("full", ["storage", "scratch"])
def test_a_full_disk_is_a_sentence_and_with_room_again_the_training_goes_on(
    disk: Path, tmp_path: Path, full: str
):
    root = tmp_path / "root"
    write_corpus(root)
    storage = disk / "storage" if full == "storage" else root / "storage"
    write_params(params(root, storage, SHORT), root)
    plan = make_plan(params(root, storage, SHORT), "tiny", root / "shards")
    group = plan.store / plan.checkpoints(plan.cells[0])
    scratch = {"TMPDIR": str(disk)} if full == "scratch" else {}
    first = start(root, scratch)
    wait_for("a checkpoint", lambda: checkpoints.newest(group), first)
    filler = fill(disk)
    assert first.wait(PATIENCE_S) == 1, said(root)
    last = said(root).strip().splitlines()[-1]
    assert re.fullmatch(r"error: .*(has no room left|cannot take a checkpoint) \(.*\); make room .*", last), (
        last
    )
    assert "Traceback" not in said(root)
    assert not (root / "runs").exists()
    kept = [name for name in group.names() if name.startswith("checkpoint_")]
    assert kept
    assert all(is_intact(Path(group.uri) / name) for name in kept)
    filler.unlink()
    before = steps(root)
    again = start(root, scratch)
    ends(again, root)
    went_on = steps(root)[len(before) :]
    assert 0 < went_on[0]["step"] <= before[-1]["step"] + 1
    every_figure_is_in_mlflow_once(root, f"sqlite:///{root}/mlflow.db")
    reference = params(root, root / "undisturbed", SHORT)
    trains_to_the_weights_of_an_undisturbed_training(root, make_plan(reference, "tiny", root / "shards"))
