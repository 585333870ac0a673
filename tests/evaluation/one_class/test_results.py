import csv
import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from mien.config import MienError
from mien.evaluation.one_class.results import evaluate_one_class
from mien.evaluation.stage import evaluate_experiment
from tests.evaluation import alien, tree

ENTRY = {"corpus": "toy", "second_corpus": "toy", "folds": [0, 1], "seeds": [0, 1], "method": "hs_ocfer"}
TRIALS = [{"folds_by": "picture"}, {"folds_by": "subject", "seeds": [0]}]


def params():
    return tree.params(methods={"hs_ocfer": {}}, experiments={"full": {**ENTRY, "trials": TRIALS}})


def evaluate(root, run, into, settings):
    evaluate_experiment("full", root / "data/shards/toy", run, into, settings)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root, settings = tmp_path_factory.mktemp("one"), params()
    index = tree.make_corpus("toy", root / "data", settings)
    alien.make_run("full", index, root / "runs", settings, skill=1.0)
    evaluate(root, root / "runs/full", root / "results/full", settings)
    return root


def rows_of(made):
    return pq.read_table(made / "runs/full/predictions.parquet").to_pylist()


def rewritten(made, tmp_path, rows):
    table = pq.read_table(made / "runs/full/predictions.parquet")
    (tmp_path / "run.json").write_text((made / "runs/full/run.json").read_text())
    pq.write_table(pa.Table.from_pylist(rows, table.schema), tmp_path / "predictions.parquet")
    return tmp_path


def test_every_cell_agrees_with_scikit_learn(made):
    scores = json.loads((made / "results/full/scores.json").read_text())
    assert (scores["kind"], scores["scores"]) == ("one_class", list(alien.NAMES))
    assert len(scores["cells"]) == 2 * 2 * 3 + 2 * 3
    rows = [r for r in rows_of(made) if r["part"] == "test"]
    for cell in scores["cells"]:
        keys = ("fold", "seed", "normal", "condition", "folds_by")
        own = [r for r in rows if all(r[k] == cell[k] for k in keys)]
        truth = [tree.EXPRESSIONS[r["label"]] != cell["normal"] for r in own]
        for column, name in enumerate(alien.NAMES):
            expected = roc_auc_score(truth, [r["scores"][column] for r in own])
            assert cell["auc_full"][name] == pytest.approx(expected, abs=1e-12)
        assert cell["normals"] + cell["aliens"] == len(own)
        assert cell["empty"] == {}


def test_trials_are_averaged_apart(made):
    scores = json.loads((made / "results/full/scores.json").read_text())
    assert [t["trial"] for t in scores["trials"]] == ["all-picture", "all-subject"]
    for trial in scores["trials"]:
        cells = [c for c in scores["cells"] if c["trial"] == trial["trial"]]
        figures = trial["figures"]["fusion"]["auc_macro"]
        assert figures["mean"]["mean"] == pytest.approx(np.mean([c["auc_macro"]["fusion"] for c in cells]))
        assert (figures["mean"]["cells"], figures["mean"]["of"]) == (len(cells), len(cells))
        assert (trial["faces"], trial["people"]) == (72, 8)
    assert scores["trials"][1]["figures"]["fusion"]["auc_macro"]["mean"]["std_seeds"] is None  # one seed
    assert scores["trials"][0]["figures"]["fusion"]["auc_macro"]["mean"]["std_seeds"] > 0


def test_the_other_files_hold_the_same(made):
    metrics = json.loads((made / "results/full/metrics.json").read_text())
    scores = json.loads((made / "results/full/scores.json").read_text())
    mean = scores["trials"][0]["figures"]["fusion"]["auc_macro"]["mean"]["mean"]
    assert metrics["all-picture"]["auc_macro"] == mean
    with (made / "results/full/per_cell.csv").open() as file:
        cells = list(csv.DictReader(file))
    assert len(cells) == len(scores["cells"])
    assert float(cells[0]["auc_macro_fusion"]) == scores["cells"][0]["auc_macro"]["fusion"]
    with (made / "results/full/ratio.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * (3 + 1) * 7
    equal = next(r for r in rows if r["ratio"] == "1:1" and r["normal"] == "" and r["trial"] == "all-picture")
    assert float(equal["mean"]) == pytest.approx(mean, abs=0.02)
    assert float(equal["low"]) <= float(equal["mean"]) <= float(equal["high"])


def test_shuffled_scores_give_the_same_bytes(made, tmp_path):
    rows = rows_of(made)
    order = np.random.default_rng(3).permutation(len(rows))
    evaluate(made, rewritten(made, tmp_path, [rows[i] for i in order]), tmp_path / "out", params())
    for name in ("scores.json", "metrics.json", "per_cell.csv", "ratio.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (made / "results/full" / name).read_bytes()


def test_scores_that_are_no_numbers_leave_their_cell_empty(made, tmp_path, caplog):
    rows = rows_of(made)
    spoilt = next(i for i, r in enumerate(rows) if r["part"] == "test")
    rows[spoilt]["scores"] = [math.nan, *rows[spoilt]["scores"][1:]]
    evaluate(made, rewritten(made, tmp_path, rows), tmp_path / "out", params())
    scores = json.loads((tmp_path / "out/scores.json").read_text())
    empty = [c for c in scores["cells"] if c["empty"]]
    assert len(empty) == 1
    assert empty[0]["auc_macro"]["fusion"] is None
    assert empty[0]["auc_macro"]["reconstruction"] > 0  # the other scores of that cell are fine
    mean = next(t for t in scores["trials"] if t["trial"] == empty[0]["trial"])["figures"]["fusion"]
    assert (mean["auc_macro"]["mean"]["cells"], mean["auc_macro"]["mean"]["of"]) == (11, 12)
    assert "scores are not finite numbers" in caplog.text
    assert "scores are not finite numbers" in (tmp_path / "out/per_cell.csv").read_text()


def test_a_class_that_is_absent_from_the_test_part_leaves_its_cell_empty(tmp_path):
    rows = [{"key": f"k{i}", "label": 1 + i % 2, "scores": [float(i)]} for i in range(6)]
    made = alien.scored(tmp_path / "predictions.parquet", rows)
    keys = {f"k{i}": f"person{i}" for i in range(6)}
    scores = evaluate_one_class(made, keys, "people", tree.EXPRESSIONS, params().evaluate)
    assert scores["cells"][0]["empty"] == {"distance": "no neutral face in the test part"}
    mean = scores["trials"][0]["figures"]["distance"]["auc_macro"]["mean"]
    assert math.isnan(mean["mean"])
    assert (mean["cells"], mean["of"]) == (0, 1)


def test_a_score_of_a_training_face_stops_the_stage(made, tmp_path):
    rows = rows_of(made)
    first = rows[0]
    learnt = next(
        r
        for r in rows
        if r["part"] == "test"
        and r["folds_by"] == first["folds_by"]
        and r["fold"] != first["fold"]
        and tree.EXPRESSIONS[r["label"]] == first["normal"]
        and r["key"]
        not in {x["key"] for x in rows if x["fold"] == first["fold"] and x["normal"] == first["normal"]}
    )
    leak = {**first, "key": learnt["key"], "label": learnt["label"], "part": "test"}
    with pytest.raises(MienError, match=f"{learnt['key']} .* belongs to the training part"):
        evaluate(made, rewritten(made, tmp_path, [*rows, leak]), tmp_path / "out", params())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: [r for r in rows if r["key"] != rows[0]["key"]], "is not predicted"),
        (lambda rows: [*rows, rows[0]], "is predicted twice"),
        (lambda rows: [r for r in rows if r["normal"] != "sad"], "predictions lack all-picture-sad"),
        (
            lambda rows: [{**r, "seed": 7} if r["seed"] == 0 else r for r in rows],
            "seed0, which params.yaml asks",
        ),
        (lambda rows: [{**rows[0], "label": 2 - rows[0]["label"]}, *rows[1:]], "in the index"),
        (lambda rows: [{**rows[0], "scores": [1.0]}, *rows[1:]], "1 scores where 3 are named"),
        (lambda rows: [{**rows[0], "key": "foreign"}, *rows[1:]], "foreign .* index does not have it"),
    ],
)
def test_a_table_that_is_not_the_test_part_is_refused(made, tmp_path, change, said):
    rows = sorted(rows_of(made), key=lambda r: r["label"] == 1)
    with pytest.raises(MienError, match=said):
        evaluate(made, rewritten(made, tmp_path, change(rows)), tmp_path / "out", params())
