import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from dvc.repo import Repo
from mlflow import MlflowClient

from mien.cli.backup import backup, restore
from mien.config import MienError
from mien.tracking.server import ARTIFACTS, DATABASE, connect, experiment_id

FACES = b"faces that a stage made"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A checkout with a run, a model version, an artifact, and an output at a DVC remote."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        root = new_checkout(tmp_path_factory.mktemp("world") / "here")
        patch.chdir(root)  # where every command runs, and where DVC writes what it keeps of an added file
        client = connect(root)
        run = client.create_run(experiment_id(client, root), run_name="hsnet")
        client.log_metric(run.info.run_id, "accuracy", 0.75, step=3)
        client.log_text(run.info.run_id, "neutral", "results/prediction.txt")
        client.create_registered_model("hsnet")
        client.create_model_version("hsnet", f"{run.info.artifact_uri}/model", run.info.run_id)
        client.set_registered_model_alias("hsnet", "champion", "1")
        (root / "faces.tar").write_bytes(FACES)
        with Repo(str(root)) as repo:
            repo.add("faces.tar")
            repo.push()
        patch.chdir("/")
        yield root


def new_checkout(root: Path) -> Path:
    root.mkdir()
    with Repo.init(str(root), no_scm=True) as repo, repo.config.edit() as config:
        config["remote"]["store"] = {"url": str(root / "remote")}
        config["core"]["remote"] = "store"
        config["core"]["analytics"] = False
    return root


@pytest.fixture(autouse=True)
def no_server(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's client leaves its address in the environment, where the next test would find it."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def saved(world: Path, tmp_path: Path) -> Path:
    held = backup(world, tmp_path / "saved")
    assert (held.database, held.artifacts, held.objects) == ("database.sqlite", 1, 1)
    return tmp_path / "saved"


def test_a_backup_makes_another_checkout_the_same(world: Path, saved: Path, tmp_path: Path) -> None:
    there = new_checkout(tmp_path / "there")
    shutil.copy(world / "faces.tar.dvc", there)
    restore(there, saved)
    client = connect(there)
    version = client.get_model_version_by_alias("hsnet", "champion")
    run = client.get_run(version.run_id)
    assert run.data.metrics == {"accuracy": 0.75}
    assert client.get_metric_history(run.info.run_id, "accuracy")[0].step == 3
    found = Path(client.download_artifacts(run.info.run_id, "results/prediction.txt"))
    assert found.read_text() == "neutral"
    with Repo(str(there)) as repo:
        repo.pull()
    assert (there / "faces.tar").read_bytes() == FACES
    # what it knows of places lies in the new checkout, so the old one may go
    assert run.info.artifact_uri.startswith(str(there / ARTIFACTS))
    assert str(world) not in "".join(str(row) for row in everything(there / DATABASE))
    assert str(world) in "".join(str(row) for row in everything(world / DATABASE))


def everything(database: Path) -> Iterator[tuple]:
    connection = sqlite3.connect(database)
    for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        yield from connection.execute(f"SELECT * FROM [{table}]")
    connection.close()


def test_what_is_written_meanwhile_does_not_tear_the_copy(world: Path, saved: Path, tmp_path: Path) -> None:
    client = MlflowClient(tracking_uri=f"sqlite:///{world / DATABASE}")
    run = client.create_run(experiment_id(client, world))
    client.delete_run(run.info.run_id)
    writer = sqlite3.connect(world / DATABASE)
    writer.execute("BEGIN IMMEDIATE")  # a run is being written and not committed yet
    writer.execute("UPDATE runs SET name = 'half' WHERE name = 'hsnet'")
    backup(world, tmp_path / "second")
    writer.rollback()
    writer.close()
    copy = sqlite3.connect(tmp_path / "second" / "database.sqlite")
    assert ("hsnet",) in copy.execute("SELECT name FROM runs").fetchall()
    copy.close()


def test_it_is_closed_to_others(saved: Path) -> None:
    assert saved.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", ["database.sqlite", "backup.json", "seal.json"])
def test_a_damaged_backup_restores_nothing(saved: Path, tmp_path: Path, name: str) -> None:
    file = saved / name
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    there = new_checkout(tmp_path / "there")
    with pytest.raises(MienError, match="no whole back-up"):
        restore(there, saved)
    assert not (there / DATABASE).exists()
    assert not (there / ARTIFACTS).exists()


def test_a_database_that_is_there_is_kept(saved: Path, tmp_path: Path) -> None:
    there = new_checkout(tmp_path / "there")
    (there / DATABASE).write_text("mine")
    with pytest.raises(MienError, match="is there already"):
        restore(there, saved)
    assert (there / DATABASE).read_text() == "mine"
    assert not (there / ARTIFACTS).exists()


def test_a_restore_that_was_cut_off_is_made_good(saved: Path, tmp_path: Path) -> None:
    there = new_checkout(tmp_path / "there")
    (artifact,) = (path for path in (saved / "artifacts").rglob("*") if path.is_file())
    place = there / ARTIFACTS / artifact.relative_to(saved / "artifacts")
    place.parent.mkdir(parents=True)
    shutil.copy(artifact, place)
    place.with_name("other.txt.part").write_text("neu")
    restore(there, saved)
    assert (there / DATABASE).is_file()
    (there / DATABASE).unlink()
    place.write_text("somebody else's")
    with pytest.raises(MienError, match="differs from the back-up"):
        restore(there, saved)
    assert not (there / DATABASE).exists()  # it comes last: nothing names what is not there
    assert place.read_text() == "somebody else's"


def test_a_damaged_remote_leaves_no_backup(world: Path, tmp_path: Path) -> None:
    (stored,) = (path for path in (world / "remote").rglob("*") if path.is_file())
    whole = stored.read_bytes()
    stored.chmod(0o644)
    stored.write_bytes(b"bit rot")
    try:
        with pytest.raises(MienError, match="is damaged"):
            backup(world, tmp_path / "saved")
    finally:
        stored.write_bytes(whole)
    assert not (tmp_path / "saved").exists()
    assert backup(world, tmp_path / "saved").objects == 1  # over what the broken one left


def test_without_a_remote_it_says_so(world: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    shutil.copytree(world, alone)
    with Repo(str(alone)) as repo, repo.config.edit() as config:
        del config["core"]["remote"]
    assert backup(alone, tmp_path / "saved").objects is None
    with pytest.raises(MienError, match="is there already"):
        backup(alone, tmp_path / "saved")


def test_a_server_is_backed_up_where_its_addresses_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.delenv("MLFLOW_BACKEND_STORE_URI", raising=False)
    with pytest.raises(MienError, match="MLFLOW_BACKEND_STORE_URI is not set"):
        backup(tmp_path, tmp_path / "saved")


def test_nothing_to_back_up_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(MienError, match="no run was made here yet"):
        backup(tmp_path, tmp_path / "saved")
    assert not (tmp_path / "saved").exists()
