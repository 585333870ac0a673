"""IDFERM's section out of a miniature of everything that the stages leave, with models that were never trained."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from mien import methods
from mien.config import Params
from mien.evaluation.identity.costs import costs
from mien.evaluation.identity.generation import look, measure
from mien.evaluation.identity.section import IdentitySection, make_identity_section, right_of_people
from mien.evaluation.identity.text import identity_markdown
from mien.evaluation.outcomes import read_outcomes
from mien.evaluation.predictions import CURVES
from mien.evaluation.report import build_report
from mien.evaluation.stage import evaluate_experiment
from mien.manifest.tables import write_table
from mien.methods.idferm import IDFERM
from mien.shards.folds import split_fold
from mien.shards.index import Index
from tests import tiny
from tests.evaluation import tree
from tests.methods.test_idferm import TINY

RATES = {"idferm": (50.0, [0.3, 0.6, 0.58]), "alone": (100.0, [0.5, 0.5, 0.8])}


def settings() -> Params:
    common = {"corpus": "toy", "second_corpus": "toy", "folds": [0, 1], "seeds": [0], "method": "idferm"}
    return tree.params(
        corpora={"toy": {"kind": "rendered", "people": 8, "expressions": list(tree.EXPRESSIONS)}},
        methods={"idferm": TINY},
        experiments={"idferm": common, "alone": {**common, "settings": {"metric_weight": 0.0}}},
    )


def trained_by_nobody(experiment: str, index: Index, runs: Path, params: Params) -> None:
    """Run, curves of fine-tuning, settings and models."""
    tree.make_run(experiment, index, runs, params, skill=2.0)
    folder, config = runs / experiment, methods.settings(params, experiment)
    rate, accuracies = RATES[experiment]
    rows = [
        {"fold": f, "seed": 0, "phase": "fine_tuning", "epoch": e, "name": name, "value": value}
        for f in (0, 1)
        for e, accuracy in enumerate(accuracies)
        for name, value in (("faces_per_second", rate), ("validation_accuracy", accuracy))
    ]
    write_table(pa.Table.from_pylist(rows, CURVES), folder / "curves.parquet", CURVES)
    about = json.loads((folder / "run.json").read_text())
    about["settings"] = config.model_dump(mode="json")
    for cell in about["cells"]:
        cell["record"] = {"distances a batch": 12, "faces through the network an update": 12}
        torch.manual_seed(cell["fold"])
        method = methods.build("idferm", config, index.classes)
        tiny.enter(method, method.phases()[-1])
        methods.save(method, "idferm", folder / "cells" / f"fold{cell['fold']}-seed0", {})
    (folder / "run.json").write_text(json.dumps(about))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, Params, Index]:
    root, params = tmp_path_factory.mktemp("identity"), settings()
    index = tree.make_corpus("toy", root / "data", params)
    for name in params.experiments:
        trained_by_nobody(name, index, root / "runs", params)
        where = (root / "data" / "shards" / "toy", root / "runs" / name, root / "results" / name)
        evaluate_experiment(name, *where, params)
    return root, params, index


@pytest.fixture(scope="module")
def section(made) -> IdentitySection:
    root, params, index = made
    outcomes = read_outcomes(params, root / "results", root / "runs", {"toy": index})
    found = make_identity_section(outcomes, root / "runs", {"toy": index}, params)
    assert found is not None
    return found


def test_generated_faces_are_judged_on_people_of_the_test_part(made, section) -> None:
    root, params, index = made
    assert section.generation is not None
    (row,) = section.generation.rows
    told = dict(zip(section.generation.header, row, strict=True))
    # 8 people with 6 faces each that show an expression
    assert (told["experiment"], told["identity weight"], told["faces"]) == ("idferm", "0.03", "48")
    assert told["paper, beyond 1.242, %"] == "0.1"
    model = methods.load(root / "runs" / "idferm" / "cells" / "fold0-seed0")[0]
    assert isinstance(model, IDFERM)
    seen = look(model, index, split_fold(index, 0, 0.15, params.shard.seed).test)
    away = (seen.faces - seen.target.float())[seen.asked].abs().mean() / 255
    other = methods.load(root / "runs" / "idferm" / "cells" / "fold1-seed0")[0]
    assert isinstance(other, IDFERM)
    rest = look(other, index, split_fold(index, 1, 0.15, params.shard.seed).test)
    both = (
        away * int(seen.asked.sum())
        + (rest.faces - rest.target.float())[rest.asked].abs().mean() / 255 * int(rest.asked.sum())
    ) / 48
    assert float(told["input to neutral, % of white"]) == pytest.approx(100 * float(both), abs=0.06)


def test_the_judge_speaks_of_generated_faces_of_the_input_and_of_true_neutral_faces(made) -> None:
    root, params, index = made
    model = methods.load(root / "runs" / "idferm" / "cells" / "fold0-seed0")[0]
    assert isinstance(model, IDFERM)
    seen = look(model, index, split_fold(index, 0, 0.15, params.shard.seed).test)
    assert set(seen.label[seen.asked].tolist()) == {index.classes.index("happy"), index.classes.index("sad")}
    seen = replace(seen, made=torch.zeros_like(seen.made))
    bright = float(seen.faces.mean())
    counted = []

    def judge(faces: torch.Tensor) -> np.ndarray:
        counted.append(len(faces))
        return faces.float().mean(dim=(1, 2, 3)).numpy() < bright

    found = measure(model, seen, judge)
    own = seen.faces.mean(dim=(1, 2, 3)) < bright
    assert found.neutral == 1.0
    assert found.input_neutral == pytest.approx(float(own[seen.asked].float().mean()))
    assert found.true_neutral == pytest.approx(float(own[~seen.expressive].float().mean()))
    assert counted == [24, 24, 12]
    apart = torch.arange(len(seen.label)) % 2 == 0
    measure(model, replace(seen, clean=apart), judge)
    clean = (int((apart & kind).sum()) for kind in (seen.expressive, ~seen.expressive))
    assert counted[3:] == [24, *clean]  # generated faces are judged whatever they were made from


def test_the_sheet_shows_people_beside_their_true_neutral_face(section) -> None:
    assert section.sheet is not None
    assert len(section.sheet.rows) == 4  # people of the first fold's test part
    assert all(len(pictures) == 3 and pictures[0][:2] == b"\xff\xd8" for _, pictures in section.sheet.rows)


def test_costs_are_those_of_the_curves(made, section) -> None:
    _root, params, index = made
    faces = [len(split_fold(index, fold, 0.15, params.shard.seed).train) for fold in (0, 1)]
    first, second = (costs(outcome, index, params) for outcome in section.outcomes)
    mean = sum(faces) / 2
    assert (first.distances, first.passes, first.best) == (12, 12, 0.6)
    assert (first.epochs, second.epochs) == (2, 3)  # .6 at once; .95 * .8 = .76 only in the third
    assert first.epoch_s == pytest.approx(mean / 50)
    assert second.reach_s == pytest.approx(3 * mean / 100)


def test_rivals_are_told_by_how_much_they_differ(section) -> None:
    first, second = section.rivals.rows
    assert first[-2:] == ("–", "–")
    assert " to " in second[-2]
    assert 0 < float(second[-1]) <= 1


def test_what_people_add_up_to_is_the_accuracy() -> None:
    right, wrong = np.array([[2, 0], [0, 1]]), np.array([[0, 1], [1, 0]])
    tallies = {
        0: {(0, 0): np.stack([right, wrong])},
        1: {(1, 0): np.stack([right]), (1, 1): np.stack([wrong])},
    }
    assert right_of_people(tallies).tolist() == pytest.approx([3 / 5 / 2, 0, 1.5 / 2.5 / 2])


def test_it_stands_in_the_page_and_in_the_table(made, section) -> None:
    root, params, _ = made
    text = "\n".join(identity_markdown(section))
    assert "## Faces without their expression" in text
    assert "42 min" in text
    build_report(root / "data", root / "results", root / "runs", root / "reports", params, "abc")
    page = (root / "reports" / "index.html").read_text()
    assert 'id="identity"' in page
    assert "Generated neutral faces" in page
    assert "Is it still the same person?" in page
    picture = root / "reports" / "plots" / "pictures" / "identity-distances.png"
    assert Image.open(picture).size[0] > 600
    assert "Faces without their expression" in (root / "reports" / "results.md").read_text()


def test_without_idferm_there_is_no_section() -> None:
    assert make_identity_section([], Path(), {}, settings()) is None
