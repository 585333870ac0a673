"""Three Ray nodes with addresses of their own, one of which is killed in the middle of an epoch."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest
import torch
from infra.local.processes import Processes
from infra.local.ray_nodes import HOSTS, start_ray
from safetensors.torch import load_file

from mien.config import Params
from mien.shards.folds import split_cell
from mien.training.plan import make_plan
from tests.cluster import disturbed as disturbances
from tests.cluster.test_train import CURVES, PATIENCE_S, wait_for, write_params
from tests.object_store import ObjectStore, object_store
from tests.striped import tiny, write_corpus

EPOCHS, STEPS_AN_EPOCH, BATCH = 4, 3, 6
DEADLY_STEP = 2 * STEPS_AN_EPOCH + 2  # the third of the third epoch, of which there is a checkpoint
HSNET = {
    "head_rate": 0.05,
    "width": 0.125,
    "blocks": [1, 1, 1],
    "input_px": 75,
    "batch_size": BATCH,
    "epochs": EPOCHS,
}
REPOSITORY = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def bucket() -> Iterator[tuple[ObjectStore, str]]:
    with object_store() as made:
        yield made


@pytest.fixture(scope="module")
def nodes(bucket) -> Iterator[tuple[Processes, dict[str, str]]]:
    """A head and two nodes of a CPU each, and the environment of their clients."""
    folder = Path(tempfile.mkdtemp(dir="/tmp", prefix="nodes-"))
    processes = Processes(folder)
    served = {**bucket[0].environment(), "PYTHONPATH": str(REPOSITORY)}
    cache = {"TMPDIR": str(folder)}  # of shards: one of this user's may hold the corpus already
    try:
        yield processes, {**served, **cache, **start_ray(processes, served | cache)}
    finally:
        processes.end()
        shutil.rmtree(folder, ignore_errors=True)


def experiment(root: Path, storage: str) -> Params:
    known = {"corpus": "striped", "second_corpus": "striped", "folds": [0], "validation_share": 0.25}
    return tiny(
        root,
        methods={"hsnet": {**HSNET, "ktl": False, "keep": "last"}},
        cluster={"storage": storage, "object_store_mb": 100, "stage_timeout_s": 240},
        train={"workers": 2, "checkpoint_every_s": 0},
        experiments={"tiny": {"method": "hsnet", **known}},
    )


def start(root: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    words = [sys.executable, disturbances.__file__, "noted", str(root / "steps.jsonl")]
    without = {k: v for k, v in os.environ.items() if k not in ("MLFLOW_TRACKING_URI", "MIEN_RAY_ADDRESS")}
    with (root / "stage.log").open("wb") as log:
        return subprocess.Popen(
            [*words, "tiny", "shards", "runs/tiny", "tuned/tiny.json"],
            cwd=root,
            env={**without, **environment},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def steps(root: Path) -> list[dict]:
    """What the workers wrote down, in order."""
    log = root / "steps.jsonl"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def kill(node: psutil.Process) -> None:
    """All of a machine at once."""
    for process in [node, *node.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


@pytest.fixture(scope="module")
def two_nodes(nodes, bucket, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained on two nodes, a worker each, of which one is killed within an epoch."""
    root = tmp_path_factory.mktemp("two-nodes")
    write_corpus(root)
    write_params(experiment(root, f"{bucket[1]}/team"), root)
    processes, environment = nodes
    driver = start(root, environment)
    wait_for(
        "a step within the third epoch", lambda: any(s["step"] == DEADLY_STEP for s in steps(root)), driver
    )
    used = {s["node"] for s in steps(root)}
    assert len(used) == 2
    (dies, *_) = sorted(used - {HOSTS[0]})
    kill(processes.alive()[f"ray-{HOSTS.index(dies)}"])
    assert driver.wait(PATIENCE_S) == 0, (root / "stage.log").read_text()
    assert dies not in {s["node"] for s in steps(root)[-4:]}
    return root


@pytest.fixture(scope="module")
def one_node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained undisturbed by two workers of one node, whose storage is a folder."""
    root = tmp_path_factory.mktemp("one-node")
    write_corpus(root)
    write_params(experiment(root, "storage"), root)
    driver = start(root, {})
    assert driver.wait(PATIENCE_S) == 0, (root / "stage.log").read_text()
    assert len(steps(root)) == 2 * EPOCHS * STEPS_AN_EPOCH
    return root


def test_two_nodes_train_to_the_weights_and_figures_of_one(two_nodes: Path, one_node: Path):
    ours, truth = (
        load_file(root / "runs/tiny/cells/fold0-seed0/model.safetensors") for root in (two_nodes, one_node)
    )
    assert ours.keys() == truth.keys()
    for name, value in truth.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-5, atol=1e-5)
    told, expected = (
        {
            (row["epoch"], row["name"]): row["value"]
            for row in pq.read_table(root / "runs/tiny/curves.parquet").to_pylist()
            if row["name"] in CURVES
        }
        for root in (two_nodes, one_node)
    )
    assert len(told) == 3 * EPOCHS
    assert told[EPOCHS - 1, "train_loss"] < told[0, "train_loss"]
    assert told == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_the_lost_node_costs_no_epoch_a_face_and_no_face_comes_twice(two_nodes: Path):
    plan = make_plan(experiment(two_nodes, str(two_nodes / "none")), "tiny", two_nodes / "shards")
    split = split_cell(plan.index, plan.cells[0], 0.25, plan.params.shard.seed)
    faces = set(plan.index.keys[split.train].tolist())
    assert len(faces) == BATCH * STEPS_AN_EPOCH
    counted = {(s["step"], s["rank"]): s["keys"] for s in steps(two_nodes)}  # of a step made again, the last
    assert len(steps(two_nodes)) > len(counted) == 2 * EPOCHS * STEPS_AN_EPOCH
    for epoch in range(EPOCHS):
        own = [keys for (step, _), keys in counted.items() if step // STEPS_AN_EPOCH == epoch]
        seen = [key for keys in own for key in keys]
        assert len(seen) == len(set(seen))
        assert set(seen) == faces
    again = {s["step"] for s in steps(two_nodes)[len(steps(two_nodes)) - 2 :]}
    assert again == {EPOCHS * STEPS_AN_EPOCH - 1}


def test_the_workers_read_the_shards_from_the_object_store(two_nodes: Path, bucket):
    store, _ = bucket
    published = {name for name in store.names() if name.startswith("team/shards/striped-")}
    assert {name.rsplit("/", 1)[-1] for name in published} >= {"index.parquet", "counts.json", "seal.json"}
    assert any(method == "GET" and path.endswith(".tar") for method, path in store.asked)
