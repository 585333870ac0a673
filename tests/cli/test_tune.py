"""`mien tune`: which search is meant, and what it says of it."""

import json
from pathlib import Path

import pytest
import yaml

from mien.cli.tune import found, searched
from mien.config import MienError
from tests.evaluation.searches.test_section import told
from tests.training.test_searching import params


@pytest.fixture
def root(tmp_path: Path) -> Path:
    raw = params(tmp_path).model_dump(mode="json")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(raw))
    return tmp_path


def test_a_search_is_named_by_its_experiment_or_its_method(root: Path) -> None:
    assert searched(root, "tiny") == searched(root, "resnet18") == "tiny"
    with pytest.raises(MienError, match=r"searches in params.yaml has no other; add `tiny: \{trials: 12\}`"):
        searched(root, "other")


def test_it_says_what_changes_and_how_good_it_is(root: Path) -> None:
    (root / "tuned").mkdir()
    (root / "tuned" / "tiny.json").write_text(json.dumps(told()))
    said = found(root, "tiny")
    assert said["changes"] == [["learning_rate", 0.003, 0.001], ["width", 16, 16]]
    assert said["sentence"].startswith(
        "mean accuracy on 10 validation faces: 80.0 %, 60.0 % before; 6 trials, 3"
    )
    assert said["sentence"].endswith("set experiments.tiny.tuned: true.")
