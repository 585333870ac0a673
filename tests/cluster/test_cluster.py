"""The whole way: servers and three nodes, two experiments submitted, shot at, found again and brought home."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from infra.local.__main__ import down, up
from infra.local.processes import Processes
from infra.local.servers import postgres_programs
from mlflow import MlflowClient

from mien.config import MienError, Params
from mien.training.storage import Storage
from tests.cli.test_submit import checkout, record
from tests.cluster.test_train import CURVES, wait_for
from tests.striped import tiny

EPOCHS = 5
PATIENCE_S = 400
UPSTREAM = ("download", "align", "landmarks", "shard", "tune")

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(900)]


def experiments() -> Params:
    """Two experiments of two workers each, so that each goes over two nodes."""
    params = tiny(
        Path("/nowhere"),
        cluster={"storage": "s3://mien/team", "object_store_mb": 100, "stage_timeout_s": 400},
        train={"workers": 2, "checkpoint_every_s": 1},
        methods={
            "resnet18": {"input_px": 32, "stem": "small", "batch_size": 8, "epochs": EPOCHS, "keep": "last"}
        },
    )
    tiny_one = params.experiments["tiny"].model_copy(update={"folds": [0]})
    other = tiny_one.model_copy(update={"seeds": [1]})
    return params.model_copy(update={"experiments": {"tiny": tiny_one, "other": other}})


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Processes, dict[str, str]]]:
    try:
        postgres_programs()
    except MienError as error:
        pytest.skip(str(error))
    folder = Path(tempfile.mkdtemp(dir="/tmp", prefix="cl-"))
    try:
        environment = up(folder)
        yield Processes(folder), environment
    finally:
        down(folder)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = checkout(tmp_path_factory.mktemp("submit"), experiments())
    (made / "tuned").mkdir()
    for name in experiments().experiments:
        (made / "tuned" / f"{name}.json").write_text("{}\n")  # as stage `tune` has nothing to search for
    record(made, *UPSTREAM)
    return made


Mien = Callable[..., subprocess.Popen[bytes]]
# who starts tests in the background of a script has them ignore Ctrl-C, and all that they start
MIEN = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from mien.cli.app import main; main()"
)


@pytest.fixture(scope="module")
def mien(root: Path, servers) -> Mien:
    """Start `mien WORDS` in the checkout, its output in the file LOG."""

    def started(log: str, *words: str) -> subprocess.Popen[bytes]:
        with (root / log).open("wb") as file:
            return subprocess.Popen(
                [sys.executable, "-c", MIEN, *words],
                cwd=root,
                env={**os.environ, **servers[1]},
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    return started


def said(root: Path, log: str) -> str:
    return (root / log).read_text(errors="replace")


def checkpoints(storage: Storage, experiment: str) -> int:
    """How many checkpoints of an experiment are whole."""
    found = 0
    for digest in (storage / experiment).names():
        for group in (storage / experiment / digest).names():
            place = storage / experiment / digest / group
            names = (
                [name for name in place.names() if name.startswith("checkpoint_20")]
                if "group" in group
                else []
            )
            found += sum(place.read_json(f"{name}/seal.json") is not None for name in names)
    return found


def restart_postgres(processes: Processes) -> None:
    """Kill the database and start it with the same words."""
    database = processes.alive()["postgres"]
    words, user = database.cmdline(), database.username()
    database.send_signal(signal.SIGINT)
    database.wait(30)
    words = [str(postgres_programs() / "postgres"), *words[1:]]
    processes.start("postgres", words, {"PATH": os.environ["PATH"]}, None if user == "root" else user)


def driver_of(experiment: str) -> psutil.Process:
    """The stage that a job runs on the head."""
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if words[1:3] == ["pipeline/train.py", experiment] and words[3:4] == ["data/shards"]:
            return process
    raise AssertionError(f"no stage trains {experiment}")


@pytest.fixture(scope="module")
def shot(root: Path, mien: Mien, servers) -> None:
    """The database restarted, the driver killed, and the same command again, twice at a time."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in servers[1].items():
            patch.setenv(name, value)
        storage = Storage("s3://mien/team")
        first = mien("first.log", "submit", "tiny", "other")
        wait_for("a checkpoint", lambda: checkpoints(storage, "other") > 1, first)
        restart_postgres(servers[0])
        driver_of("other").kill()
        assert first.wait(PATIENCE_S) == 128 + signal.SIGKILL, said(root, "first.log")
        assert not (root / "runs").exists()
        second = mien("second.log", "submit", "tiny", "other")
        wait_for("the second job", lambda: "-2: submitted" in said(root, "second.log"), second)
        third = mien("third.log", "submit", "other", "tiny")
        assert second.wait(PATIENCE_S) == 0, said(root, "second.log")
        assert third.wait(PATIENCE_S) == 0, said(root, "third.log")
        yield


def test_ctrl_c_stops_the_job(root: Path, mien: Mien):
    driver = mien("stopped.log", "submit", "tiny")
    wait_for("the job's stage", lambda: "train@tiny: python" in said(root, "stopped.log"), driver)
    assert driver_of("tiny").is_running()
    driver.send_signal(signal.SIGINT)
    assert driver.wait(PATIENCE_S) == 130, said(root, "stopped.log")
    assert "stopping; what is trained so far is kept" in said(root, "stopped.log")
    assert "Traceback" not in said(root, "stopped.log")
    with pytest.raises(AssertionError, match="no stage trains"):
        driver_of("tiny")


def test_a_killed_driver_is_told_by_its_code_and_a_second_call_joins(shot, root: Path):
    assert "failed with exit code" in said(root, "first.log")
    assert "-2: is running" in said(root, "third.log")
    assert "-2: submitted" in said(root, "second.log")
    for log in ("second.log", "third.log"):
        assert "train@other: python pipeline/train.py other" in said(root, log)


def test_what_comes_home_is_what_dvc_would_have_made(shot, root: Path, mien: Mien):
    again = mien("again.log", "submit", "train")
    assert again.wait(PATIENCE_S) == 0
    assert "nothing to train" in said(root, "again.log")
    status = subprocess.run(
        [sys.executable, "-m", "dvc", "status", "train@tiny", "train@other"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "up to date" in status.stdout


def test_runs_and_artifacts_are_in_the_server_each_figure_once(shot, root: Path, servers):
    client = MlflowClient(servers[1]["MLFLOW_TRACKING_URI"])
    runs = client.search_runs([client.get_experiment_by_name("mien").experiment_id])
    cells = [run for run in runs if run.data.tags["kind"] == "cell"]
    assert {run.data.tags["experiment"] for run in cells} == {"tiny", "other"}
    assert len(runs) == 4
    for run in cells:
        assert run.info.status == "FINISHED"
        assert run.data.tags["git_commit"] != "none"
        assert {file.path for file in client.list_artifacts(run.info.run_id)} >= {"curves.parquet"}
        for name in CURVES:
            steps = [m.step for m in client.get_metric_history(run.info.run_id, f"classification/{name}")]
            assert sorted(steps) == list(range(EPOCHS)), name
