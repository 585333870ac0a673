"""One-class experiments from plan to predictions, without Ray."""

from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from mien import methods
from mien.config import MienError, Params
from mien.config.params import parse_section
from mien.config.train import Cell
from mien.evaluation.predictions import ALIEN_SCORES
from mien.shards.folds import split_one_class
from mien.shards.index import read_index
from mien.training.kept import fetched, write_run
from mien.training.plan import make_plan
from tests import striped

TRIALS = [{"folds_by": "picture"}, {"folds_by": "subject", "seeds": [3]}]


def params(root: Path, method: str = "oc_svm", settings: dict | None = None, **entry: object) -> Params:
    experiment = {"method": method, "corpus": "striped", "second_corpus": "striped", "folds": [0, 1]}
    experiment |= {"validation_share": 0.25, "trials": TRIALS, "settings": settings or {}}
    known = {"oc_svm": {"input_px": 8}, "deep_svdd": {}, "resnet18": {}}
    raw = striped.tiny(root).model_dump(mode="json") | {
        "methods": known,
        "experiments": {"alien": experiment | entry},
    }
    return parse_section(Params, raw, "params.yaml", "")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return striped.write_corpus(tmp_path_factory.mktemp("striped"))


def test_every_class_is_normal_in_turn_under_each_trial(shards: Path, tmp_path: Path) -> None:
    cells = make_plan(params(tmp_path), "alien", shards).cells
    assert len(cells) == len(set(cells)) == 2 * 2 * 3
    assert cells[0] == Cell(0, 0, "neutral", "", "picture")
    assert cells[0].name == "all-picture-neutral-fold0-seed0"
    assert {cell.seed for cell in cells if cell.folds_by == "subject"} == {3}
    some = make_plan(params(tmp_path, normal=["sad"], trials=TRIALS[:1]), "alien", shards)
    assert [cell.normal for cell in some.cells] == ["sad", "sad"]
    # fewer cells are the same cells: what is trained of them stays valid
    assert some.digest == make_plan(params(tmp_path), "alien", shards).digest


def test_cells_keep_scores_of_the_whole_test_part(shards: Path, tmp_path: Path) -> None:
    plan = make_plan(params(tmp_path, normal=["happy", "sad"]), "alien", shards)
    striped.trained_here(plan)
    with fetched(plan) as kept:
        write_run(plan, kept, tmp_path / "run", {})
    table = pq.read_table(tmp_path / "run" / "predictions.parquet")
    assert table.schema.equals(ALIEN_SCORES)
    index = read_index(shards / "striped")
    for cell in plan.cells:
        own = table
        for name, value in cell._asdict().items():
            own = own.filter(pc.equal(own[name], value))
        split = split_one_class(index, cell, 0.25, 0)
        for part, rows in (("test", split.test), ("validation", split.validation)):
            keys = own.filter(pc.equal(own["part"], part))["key"].to_pylist()
            assert sorted(keys) == sorted(index.keys[rows].tolist())
        for row in own.to_pylist():
            assert index.classes[row["label"]] == index.expression[index.keys == row["key"]][0]
            assert len(row["scores"]) == len(plan.scores) == 1
            assert np.isfinite(row["scores"]).all()
    method, about = methods.load(tmp_path / "run" / "cells" / plan.cells[0].name)
    assert method.classes == ("happy",)
    assert about["folds_by"] == "picture"


def test_a_class_too_small_for_a_batch_is_named_before_training(shards: Path, tmp_path: Path) -> None:
    wanted = params(tmp_path, "deep_svdd", {"batch_size": 64})
    with pytest.raises(MienError, match=r"neutral has \d+ training faces in fold 0 of all-picture .* of 64"):
        make_plan(wanted, "alien", shards)


def test_trials_belong_to_one_class_methods_alone(tmp_path: Path) -> None:
    with pytest.raises(MienError, match=r"experiments.alien needs trials"):
        methods.check(params(tmp_path, trials=[]))
    with pytest.raises(MienError, match=r"experiments.alien must have no trials"):
        methods.check(params(tmp_path, "resnet18"))
