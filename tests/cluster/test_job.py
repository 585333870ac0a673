"""The part of `mien submit` that runs on the head, without Ray: stages that are small programs."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mien.cluster.job import ORDER, Order, Stage
from mien.training.published import publish
from mien.training.storage import Storage
from tests.object_store import ObjectStore, object_store
from tests.striped import tiny, write_corpus

READS = "import pathlib,json; p=pathlib.Path('data/shards/striped'); o=pathlib.Path('runs/a'); o.mkdir(parents=True); "
READS += "o.joinpath('seen.json').write_text(json.dumps(sorted(x.name for x in p.iterdir()))); "
READS += "import os; o.joinpath('ray').write_text(os.environ['MIEN_RAY_ADDRESS'])"


@pytest.fixture(scope="module")
def bucket() -> Iterator[tuple[ObjectStore, str]]:
    with object_store() as made:
        yield made


@pytest.fixture(scope="module")
def shards(bucket, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = write_corpus(tmp_path_factory.mktemp("job"))
    params = tiny(folder, cluster={"storage": f"{bucket[1]}/team"})
    return {"data/shards/striped": publish(params, {"striped"}, folder)["striped"]}


def run(order: Order, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    (folder / ORDER).write_text(order.to_json())
    words = [sys.executable, "-m", "mien.cluster.job"]
    told = {
        **os.environ,
        "RAY_ADDRESS": "10.1.2.3:6379",
        "MLFLOW_TRACKING_URI": "sqlite:///x.db",
        **environment,
    }
    return subprocess.run(
        words, cwd=folder, env=told, capture_output=True, text=True, timeout=60, check=False
    )


def test_stages_read_published_shards_and_what_they_make_is_delivered(bucket, shards, tmp_path: Path):
    _, address = bucket
    stages = (
        Stage("train@a", ("python", "-c", READS), "runs/a"),
        Stage("train@b", ("python", "-c", "import sys; sys.exit(7)"), "runs/b"),
    )
    order = Order("mien-1", f"{address}/team", 100, shards, stages)
    done = run(order, tmp_path / "package")
    assert done.returncode == 7, done.stderr
    assert [path.name for path in (tmp_path / "package").iterdir()] == [ORDER]  # Ray shares that folder
    storage = Storage(f"{address}/team")
    assert storage.get(order.delivery(stages[0]), tmp_path / "a")
    assert json.loads((tmp_path / "a" / "seen.json").read_text()) == [
        "counts.json",
        "index.parquet",
        "origin.json",
    ]
    assert (tmp_path / "a" / "ray").read_text() == "10.1.2.3:6379"
    assert not storage.get(order.delivery(stages[1]), tmp_path / "b")

    again = run(order, tmp_path / "package")
    assert again.returncode == 7
    assert "train@a" not in again.stderr
    assert "train@b" in again.stderr


def test_a_head_without_a_tracking_server_is_refused(bucket, shards, tmp_path: Path):
    order = Order("mien-2", f"{bucket[1]}/team", 100, shards, ())
    done = run(order, tmp_path / "package", MLFLOW_TRACKING_URI="")
    assert done.returncode == 1
    assert done.stderr.strip().endswith("start it with one.")
    assert "MLFLOW_TRACKING_URI" in done.stderr
