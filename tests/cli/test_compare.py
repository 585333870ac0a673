"""`mien compare` over what the stages leave, as typed."""

import csv
import json

import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from mien.cli.app import app
from mien.cli.compare import compare_two
from mien.config import MienError
from tests.evaluation import alien, tree

ENTRY = {"corpus": "toy", "second_corpus": "toy", "folds": [0, 1], "seeds": [0]}
ONE_CLASS = {**ENTRY, "method": "hs_ocfer", "trials": [{"folds_by": "subject"}]}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A checkout with two one-class experiments and two classifiers."""
    root = tmp_path_factory.mktemp("compare")
    plain = {**ENTRY, "method": "resnet18"}
    settings = tree.params(
        methods={"hs_ocfer": {}, "resnet18": {}},
        experiments={"weak": ONE_CLASS, "strong": ONE_CLASS, "plain": plain, "better": plain},
    )
    index = tree.make_corpus("toy", root / "data", settings)
    for seed, (name, skill) in enumerate({"weak": 0.3, "strong": 1.5}.items()):
        alien.make_run(name, index, root / "runs", settings, skill, seed=seed)
    for seed, name in enumerate(("plain", "better")):
        tree.make_run(name, index, root / "runs", settings, skill=1.0 + seed, seed=seed)
    for path in root.glob("runs/*/run.json"):
        told = json.loads(path.read_text())
        lacks = {"method": "resnet18", "corpus": "toy", "classes": list(index.classes), "scores": []}
        told = lacks | told
        path.write_text(json.dumps(told))
    (root / "params.yaml").write_text(yaml.safe_dump(settings.model_dump(mode="json")))
    (root / "dvc.yaml").write_text("stages: {}\n")
    return root


def test_one_class_experiments_are_told_class_by_class(root, tmp_path, monkeypatch):
    monkeypatch.chdir(root)
    done = CliRunner().invoke(app, ["compare", "weak", "strong", "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == "all-subject: 6 cells, 72 faces of 8 people"
    table = {line.split()[0]: line for line in lines if line.split()[0] in (*tree.EXPRESSIONS, "mean")}
    assert set(table) == {*tree.EXPRESSIONS, "mean"}
    assert "p of the mean 0.0312 over 6 trainings" in done.stdout
    told = json.loads((tmp_path / "out/comparison.json").read_text())
    assert [side["name"] for side in told["sides"]] == ["weak", "strong"]
    assert told["trials"][0]["differences"]["mean"]["low"] > 0
    with (tmp_path / "out/cells.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    gains = [float(row["AUC strong"]) - float(row["AUC weak"]) for row in rows]
    assert np.mean(gains) == pytest.approx(told["trials"][0]["differences"]["mean"]["mean"])
    assert np.asarray(Image.open(tmp_path / "out/pairs-all-subject.png").convert("L")).std() > 5


def test_classifiers_are_told_face_by_face(root, monkeypatch):
    monkeypatch.chdir(root)
    done = CliRunner().invoke(app, ["compare", "plain", "better", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert sum(told["faces"].values()) == 72
    assert told["differences"]["mean_accuracy"]["mean"] == pytest.approx(
        told["figures"]["mean_accuracy"][1]["mean"] - told["figures"]["mean_accuracy"][0]["mean"]
    )


def test_the_two_kinds_have_nothing_in_common(root):
    with pytest.raises(MienError, match="weak learns one class at a time"):
        compare_two(root, "plain", "weak", None)
    with pytest.raises(MienError, match="weak learns one class at a time"):
        compare_two(root, "weak", "plain", None)
