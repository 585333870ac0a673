"""The alias `champion` under rules, rollbacks, crashes and a crowd, on a real SQLite registry."""

import json
import multiprocessing
import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from infra.local.processes import Processes
from infra.local.servers import start_postgres
from mlflow import MlflowClient

from mien.config import MienError
from mien.config.promotion import Promotion
from mien.config.report import Evaluate
from mien.evaluation.challenge import Verdict, challenge
from mien.evaluation.frozen import Face, FrozenManifest
from mien.tracking import turns
from mien.tracking.promotion import champion, judged_before, promote, resolve, rollback
from mien.tracking.records import RECORD_FILE, Record, history, open_record
from mien.tracking.server import connect
from mien.tracking.turns import TURNS, turn

pytestmark = pytest.mark.slow
PEOPLE, CLASSES = 8, ("neutral", "happy")
MANIFEST = {"corpus": "unseen", "digest": "d" * 64, "faces": 16, "people": PEOPLE, "rule": {"max_p": 0.05}}


def frozen() -> FrozenManifest:
    faces = [Face(f"{p}{c}", "x", None, None, f"{p}{c}", c, f"p{p}") for p in range(PEOPLE) for c in CLASSES]
    return FrozenManifest("unseen", Path(), tuple(faces))


def examine(old: int | None, new: int) -> Verdict:
    """Version n is wrong on the last 8 - n people: a higher one is better, by enough people if by 5."""
    faces = frozen()

    def named(version: int) -> np.ndarray:
        wrong = np.arange(len(faces.label)) // 2 >= version
        return np.where(wrong, 1 - faces.label, faces.label)

    before = None if old is None else named(old)
    return challenge(faces, before, named(new), Promotion(), Evaluate(resamples=100))


def versions(client: MlflowClient, model: str, number: int = 8) -> None:
    client.create_registered_model(model)
    for _ in range(number):
        client.create_model_version(model, "mien:///x", await_creation_for=0)


def challenged(root: Path, model: str, new: int) -> str:
    """One `mien promote` of another process, whose environment names the registry."""
    return promote(connect(root), root, model, new, MANIFEST, examine, {}).decision


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("promotion")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        connect(root).search_registered_models()  # the database is made
    return root


@pytest.fixture
def client(root: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return connect(root)


def go(client: MlflowClient, root: Path, model: str, new: int, **more: Any) -> Record:
    return promote(client, root, model, new, MANIFEST, examine, {}, **more)


def tagged(client: MlflowClient, model: str, version: int) -> str | None:
    return client.get_model_version(model, str(version)).tags.get("promotion")


def test_promoted_kept_rolled_back_and_recorded(client: MlflowClient, root: Path) -> None:
    versions(client, "mien-a")
    assert go(client, root, "mien-a", 1).decision == "kept"  # no better than chance
    assert champion(client, "mien-a") is None
    first = go(client, root, "mien-a", 8)
    assert (first.decision, first.old, champion(client, "mien-a")) == ("promoted", None, 8)
    assert go(client, root, "mien-a", 7).decision == "kept"
    assert go(client, root, "mien-a", 8).decision == "already champion"
    assert champion(client, "mien-a") == 8
    told = history(client, "mien-a")
    assert [r.decision for r in told] == ["kept", "promoted", "kept", "already champion"]
    assert [r.sequence for r in told] == sorted({r.sequence for r in told})
    run = client.get_run(told[2].run_id)
    assert run.data.metrics["gain_mean"] == pytest.approx(-1 / 8)
    assert run.data.metrics["p_value"] > 0.05
    whole = json.loads(Path(client.download_artifacts(told[2].run_id, RECORD_FILE)).read_text())
    assert (whole["old"], whole["new"], whole["manifest"]["digest"]) == (8, 7, MANIFEST["digest"])
    assert whole["verdict"]["old"]["mean_accuracy"] == 1.0
    assert judged_before(client, "mien-a", 7, MANIFEST) == told[2]
    assert judged_before(client, "mien-a", 8, MANIFEST) == told[1]
    assert judged_before(client, "mien-a", 1, MANIFEST) is None  # there was no champion then
    assert judged_before(client, "mien-a", 7, MANIFEST | {"rule": {"max_p": 0.5}}) is None
    with pytest.raises(MienError, match="first champion"):
        rollback(client, root, "mien-a")
    assert tagged(client, "mien-a", 8) == "promoted"  # asked again it stays what it was


def test_rollbacks_walk_back_through_the_champions(client: MlflowClient, root: Path) -> None:
    versions(client, "mien-b")
    go(client, root, "mien-b", 8)
    client.set_registered_model_alias("mien-b", "champion", "2")
    assert go(client, root, "mien-b", 7).decision == "promoted"
    assert rollback(client, root, "mien-b").new == 2
    assert (tagged(client, "mien-b", 7), tagged(client, "mien-b", 2)) == ("rolled back", None)
    assert champion(client, "mien-b") == 2
    assert rollback(client, root, "mien-b").new == 8
    client.set_registered_model_alias("mien-b", "champion", "3")
    with pytest.raises(MienError, match="by another hand"):
        rollback(client, root, "mien-b")


def test_other_frozen_faces_are_refused_unless_meant(client: MlflowClient, root: Path) -> None:
    versions(client, "mien-c")
    go(client, root, "mien-c", 8)
    other = MANIFEST | {"digest": "e" * 64}
    with pytest.raises(MienError, match="has digest eeeeeeeeeeee, but the champion"):
        promote(client, root, "mien-c", 7, other, examine, {})
    promote(client, root, "mien-c", 7, other, examine, {}, refreeze=True)
    with pytest.raises(MienError, match="has digest dddddddddddd"):
        go(client, root, "mien-c", 6)


def at_once(client: MlflowClient, root: Path, environment: dict[str, str]) -> None:
    """Ten challenges in ten processes leave one champion, ten records in a row and an empty queue."""
    versions(client, "mien-d", 10)
    context = multiprocessing.get_context("forkserver")
    stores = [f"mlflow.store.{kind}.sqlalchemy_store" for kind in ("model_registry", "tracking")]
    context.set_forkserver_preload(["mien.tracking.promotion", *stores])  # ten imports of it take longer
    with ProcessPoolExecutor(10, context, set_environment, (environment,)) as pool:
        told = list(pool.map(challenged, [root] * 10, ["mien-d"] * 10, [8, 7, 6, 3, 8, 7, 6, 3, 8, 2]))
    records = history(client, "mien-d")
    assert len(records) == len(told) == 10
    assert sorted(r.decision for r in records) == sorted(told)
    now = None
    for record in records:  # each met the champion that the one before it left
        assert record.old == now
        assert record.decision != "promoted" or record.new != now
        now = record.new if record.decision == "promoted" else now
    assert champion(client, "mien-d") == now
    assert now in (8, 7, 6)
    assert client.search_model_versions(f"name = '{TURNS}'") == []


def set_environment(values: dict[str, str]) -> None:
    os.environ.update(values)


def test_ten_at_once_leave_one_champion_and_ten_records(client: MlflowClient, root: Path) -> None:
    at_once(client, root, {})


@pytest.mark.long
def test_ten_at_once_on_postgresql(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    processes = Processes(tmp_path)
    try:
        uri = start_postgres(processes)
    except MienError as error:
        pytest.skip(str(error))
    try:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        at_once(connect(tmp_path), tmp_path, {"MLFLOW_TRACKING_URI": uri})
    finally:
        processes.end()
        for folder in processes.scratch():
            shutil.rmtree(folder)


def test_a_crash_between_record_and_alias_counts_as_never_happened(client: MlflowClient, root: Path) -> None:
    versions(client, "mien-e")
    torn = Record("mien-e", "promoted", None, 7, 1, "torn", MANIFEST, examine(None, 7).as_json())
    run_id = open_record(client, root, torn, {})
    assert go(client, root, "mien-e", 8).old is None
    assert client.get_run(run_id).info.status == "KILLED"
    assert [r.new for r in history(client, "mien-e")] == [8]


def test_a_crash_between_alias_and_end_counts_as_done(client: MlflowClient, root: Path) -> None:
    versions(client, "mien-f")
    torn = Record("mien-f", "promoted", None, 7, 1, "torn", MANIFEST, examine(None, 7).as_json())
    run_id = open_record(client, root, torn, {})
    client.set_registered_model_alias("mien-f", "champion", "7")
    assert go(client, root, "mien-f", 6).old == 7
    assert client.get_run(run_id).info.status == "FINISHED"


def test_a_turn_whose_holder_died_is_taken_out(
    client: MlflowClient, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "LEASE_S", 0.5)
    client.search_model_versions(f"name = '{TURNS}'")
    dead = client.create_model_version(TURNS, "mien:///turns", await_creation_for=0)
    with turn(client) as mine:
        mine.check()
        assert mine.number > int(dead.version)
        client.delete_model_version(TURNS, str(mine.number))  # as one would who thought this holder dead
        with pytest.raises(MienError, match="nothing was changed"):
            mine.check()
    assert client.search_model_versions(f"name = '{TURNS}'") == []


def test_what_a_command_line_may_name(client: MlflowClient) -> None:
    versions(client, "mien-g", 3)
    client.set_registered_model_alias("mien-g", "champion", "2")
    assert resolve(client, "g") == resolve(client, "mien-g") == ("mien-g", 3)
    assert resolve(client, "models:/mien-g/1") == ("mien-g", 1)
    assert resolve(client, "models:/mien-g@champion") == ("mien-g", 2)
    for words, told in (
        ("nobody", "not in the registry"),
        ("models:/mien-g/9", "no version 9"),
        ("models:/mien-g@x", "alias x"),
    ):
        with pytest.raises(MienError, match=told):
            resolve(client, words)
