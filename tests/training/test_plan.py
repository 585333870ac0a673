"""What a plan depends on, and what it refuses."""

from pathlib import Path

import pytest

from mien.config import MienError, Params
from mien.config.train import Cell
from mien.training.kept import fetched, prune, write_run
from mien.training.plan import make_plan, refuse_local_storage
from mien.training.storage import Storage
from tests.striped import tiny, write_corpus


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("striped"))


def changed(params: Params, section: str, **values: object) -> Params:
    return params.model_copy(update={section: getattr(params, section).model_copy(update=values)})


def test_the_digest_moves_with_every_setting_of_the_method_and_of_train(shards: Path, tmp_path: Path):
    params = tiny(tmp_path)
    digest = make_plan(params, "tiny", shards).digest
    assert make_plan(tiny(tmp_path), "tiny", shards).digest == digest
    seen = {digest}
    for key, value in (("learning_rate", 2e-3), ("epochs", 3), ("dropout", 0.5), ("label_smoothing", 0.2)):
        methods = {"resnet18": {**params.methods["resnet18"], key: value}}
        seen.add(make_plan(params.model_copy(update={"methods": methods}), "tiny", shards).digest)
    for key, value in (("precision", "bf16"), ("workers", 2), ("checkpoint_every_s", 2)):
        seen.add(make_plan(changed(params, "train", **{key: value}), "tiny", shards).digest)
    assert len(seen) == 8


def test_more_folds_and_seeds_leave_finished_cells_where_they_are(shards: Path, tmp_path: Path):
    params = tiny(tmp_path)
    entry = params.experiments["tiny"]
    more = params.model_copy(update={"experiments": {"tiny": entry.model_copy(update={"seeds": [0, 1]})}})
    assert make_plan(more, "tiny", shards).digest == make_plan(params, "tiny", shards).digest
    assert make_plan(more, "tiny", shards).cells == [Cell(0, 0), Cell(1, 0), Cell(0, 1), Cell(1, 1)]


def test_a_changed_file_of_the_methods_room_moves_the_digest(shards: Path, tmp_path: Path, monkeypatch):
    plan = make_plan(tiny(tmp_path), "tiny", shards)
    monkeypatch.setattr("mien.training.plan.code_digest", lambda method: "another")
    assert make_plan(tiny(tmp_path), "tiny", shards).digest != plan.digest


def test_a_batch_that_workers_cannot_share_is_refused(shards: Path, tmp_path: Path):
    with pytest.raises(MienError, match=r"batch of 8 .* train.workers = 3"):
        make_plan(changed(tiny(tmp_path), "train", workers=3), "tiny", shards)


def test_an_unknown_experiment_is_named(shards: Path, tmp_path: Path):
    with pytest.raises(MienError, match=r"teeny is not .* it has tiny"):
        make_plan(tiny(tmp_path), "teeny", shards)


def test_a_path_on_several_machines_is_refused(tmp_path: Path):
    refuse_local_storage(Storage(str(tmp_path)), ["one"])
    with pytest.raises(MienError, match=r"has 2 nodes.*s3://"):
        refuse_local_storage(Storage(str(tmp_path)), ["one", "two"])


def test_what_is_fetched_written_and_pruned(shards: Path, tmp_path: Path):
    from tests.striped import trained_here

    plan = make_plan(tiny(tmp_path), "tiny", shards)
    Storage(str(tmp_path / "storage" / "tiny" / "0ld")).write_json("mlflow.json", {})
    trained_here(plan)
    assert plan.missing() == []
    with fetched(plan) as kept:
        write_run(
            plan, kept, tmp_path / "runs" / "tiny", {"children": {"fold0-seed0": "id"}, "complete": True}
        )
    prune(plan)
    assert plan.home.names() == [plan.digest[:12]]
    assert sorted(p.name for p in (tmp_path / "runs" / "tiny").iterdir()) == [
        "cells",
        "curves.parquet",
        "predictions.parquet",
        "run.json",
    ]
    weights = Path(plan.store.uri) / "cells" / "fold1-seed0" / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(MienError, match=r"fold1-seed0 .* damaged"), fetched(plan):
        pass
    assert plan.missing() == [Cell(1, 0)]
