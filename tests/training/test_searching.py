"""A search's objective, without Ray: on validation faces, and blind to those that are tested."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from mien import methods
from mien.config import MienError, Params
from mien.config.params import parse_section
from mien.config.tune import Search
from mien.shards.index import read_index
from mien.training.cell import train_cell
from mien.training.loop import Options
from mien.training.searching import make_search, rungs_of, search_cell
from tests import striped

RATES = {"learning_rate": {"low": 0.0001, "high": 0.1, "log": True}}
SEARCH = {"trials": 3, "grace": 1, "reduction": 2, "validation_share": 0.3}


def params(
    root: Path, method: str = "resnet18", search: dict[str, Any] | None = None, **entry: Any
) -> Params:
    raw = striped.tiny(root).model_dump(mode="json")
    raw["methods"] |= {"oc_svm": {"input_px": 8}}
    trials = [{"folds_by": "subject"}] if method == "oc_svm" else []
    raw["experiments"]["tiny"] |= {"folds": [0], "method": method, "trials": trials} | entry
    raw["search"] = {"resnet18": RATES, "oc_svm": {"nu": {"low": 0.01, "high": 0.5}}}
    raw["searches"] = {"tiny": SEARCH | (search or {})}
    return parse_section(Params, raw, "params.yaml", "")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return striped.write_corpus(tmp_path_factory.mktemp("striped"), people=10)


@pytest.fixture(scope="module")
def spoilt(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same shards, but that no tested face can be decoded: its bytes are noise."""
    copy = tmp_path_factory.mktemp("spoilt") / "shards"
    shutil.copytree(shards, copy)
    index = read_index(copy / "striped")
    rows = [row for row in index.table.to_pylist() if row["fold"] == 0]
    assert rows
    for row in rows:
        with (copy / "striped" / row["shard"]).open("r+b") as tar:
            tar.seek(row["offset"])
            tar.write(b"\xff" * row["size"])
    return copy


@pytest.mark.parametrize("method", ["resnet18", "oc_svm"])
def test_no_tested_face_is_read(shards: Path, spoilt: Path, tmp_path: Path, method: str) -> None:
    wanted = params(tmp_path, method)
    search = make_search(wanted, "tiny", shards)
    for cell in search.cells:
        whole = search_cell(wanted, "tiny", cell, shards, Options())
        assert whole == search_cell(wanted, "tiny", cell, spoilt, Options())
        assert 0 <= whole <= 1
    # the planted faces are deadly to whoever reads them: a training, which tests, does
    with pytest.raises((MienError, ValueError, OSError)):
        train_cell(wanted, "tiny", search.cells[0], spoilt, tmp_path / "model", Options())


def test_a_good_setting_beats_a_bad_one(shards: Path, tmp_path: Path) -> None:
    search = make_search(params(tmp_path), "tiny", shards)
    found = {}
    for rate in (1e-7, 3e-3):
        given = search.params_with({"learning_rate": rate})
        longer = methods.with_settings(given, "tiny", {"epochs": 8})
        found[rate] = search_cell(longer, "tiny", search.cells[0], shards, Options())
    assert found[3e-3] > found[1e-7]


def test_a_one_class_trial_trains_every_normal_class_of_one_trial(shards: Path, tmp_path: Path) -> None:
    search = make_search(params(tmp_path, "oc_svm"), "tiny", shards)
    assert [cell.normal for cell in search.cells] == list(read_index(shards / "striped").classes)
    assert (search.objective, search.length, search.rungs) == ("AUC", 3, (1, 2))
    assert search.faces["aliens"] > 0


def test_rungs_come_later_and_later_and_end_before_the_training() -> None:
    assert rungs_of(Search(grace=2, reduction=3), 30) == (2, 6, 18)
    assert rungs_of(Search(grace=2, reduction=3), 18) == (2, 6)
    assert rungs_of(Search(grace=5), 4) == ()
    assert rungs_of(Search(stopping="none"), 30) == ()


def test_the_digest_follows_what_a_figure_depends_on(shards: Path, tmp_path: Path) -> None:
    def digest(**changed: Any) -> str:
        return make_search(params(tmp_path, **changed), "tiny", shards).digest

    assert digest() == digest(
        search={"trials": 9, "algorithm": "random", "seed": 4}
    )  # a search may be prolonged
    assert digest() != digest(search={"validation_share": 0.5})
    assert digest() != digest(settings={"epochs": 3})


def test_what_cannot_be_searched_is_refused_before_a_trial(shards: Path, tmp_path: Path) -> None:
    with pytest.raises(MienError, match=r"searches of params.yaml has no other"):
        make_search(params(tmp_path), "other", shards)
    with pytest.raises(MienError, match="test all but 0 faces"):
        make_search(params(tmp_path, folds=[0, 1]), "tiny", shards)
    with pytest.raises(MienError, match=r"does not hold 0.5, which experiments.tiny has"):
        make_search(params(tmp_path, settings={"learning_rate": 0.5}), "tiny", shards)
    with pytest.raises(MienError, match="has batches of 64"):
        make_search(params(tmp_path, settings={"batch_size": 64}), "tiny", shards)
    with pytest.raises(MienError, match="the grid has 5 points, more than trials = 3"):
        make_search(params(tmp_path, search={"algorithm": "grid", "grid_steps": 5}), "tiny", shards)
