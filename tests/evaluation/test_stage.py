import csv
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sklearn.metrics as reference

from mien.config import MienError
from mien.evaluation.stage import evaluate_experiment
from tests.evaluation import tree


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root, settings = tmp_path_factory.mktemp("stage"), tree.params()
    index = tree.make_corpus("toy", root / "data", settings)
    tree.make_run("plain", index, root / "runs", settings, skill=1.0)
    evaluate_experiment(
        "plain", root / "data/shards/toy", root / "runs/plain", root / "results/plain", settings
    )
    return root


def test_the_files_agree_with_scikit_learn_on_the_predictions(made):
    scores = json.loads((made / "results/plain/scores.json").read_text())
    rows = [
        r for r in pq.read_table(made / "runs/plain/predictions.parquet").to_pylist() if r["part"] == "test"
    ]
    label, guess = [r["label"] for r in rows], [int(np.argmax(r["probabilities"])) for r in rows]
    np.testing.assert_array_equal(scores["confusion"], reference.confusion_matrix(label, guess))
    with (made / "results/plain/per_fold.csv").open() as file:
        cells = list(csv.DictReader(file))
    assert [(c["fold"], c["seed"]) for c in cells] == [("0", "0"), ("0", "1"), ("1", "0"), ("1", "1")]
    for cell in cells:
        of_cell = [
            i for i, r in enumerate(rows) if (str(r["fold"]), str(r["seed"])) == (cell["fold"], cell["seed"])
        ]
        truth, answer = [label[i] for i in of_cell], [guess[i] for i in of_cell]
        assert float(cell["mean_accuracy"]) == pytest.approx(reference.balanced_accuracy_score(truth, answer))
    metrics = json.loads((made / "results/plain/metrics.json").read_text())
    mean = np.mean([float(cell["mean_accuracy"]) for cell in cells])
    assert metrics["mean_accuracy"]["mean"] == pytest.approx(mean, rel=1e-12)
    assert metrics["mean_accuracy"]["low"] < mean < metrics["mean_accuracy"]["high"]
    assert 0 < metrics["validation_mean_accuracy"] <= 1
    assert scores["people"] == 8
    assert scores["unit"] == "people"
    with (made / "results/plain/confusion.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(rows)


def test_shuffled_predictions_give_the_same_bytes(made, tmp_path):
    table = pq.read_table(made / "runs/plain/predictions.parquet")
    order = np.random.default_rng(3).permutation(len(table))
    pq.write_table(table.take(pa.array(order)), tmp_path / "predictions.parquet")
    evaluate_experiment("plain", made / "data/shards/toy", tmp_path, tmp_path / "out", tree.params())
    for name in ("scores.json", "metrics.json", "per_fold.csv", "per_class.csv", "confusion.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (made / "results/plain" / name).read_bytes()


def test_a_prediction_of_a_training_key_stops_the_stage(made, tmp_path):
    table = pq.read_table(made / "runs/plain/predictions.parquet")
    rows = table.to_pylist()
    tested = {r["key"] for r in rows if r["fold"] == 1 and r["part"] == "test"}
    held_out = {r["key"] for r in rows if r["fold"] == 0}
    learnt = sorted(tested - held_out)[0]
    label = next(r["label"] for r in rows if r["key"] == learnt)
    leak = {**rows[0], "key": learnt, "label": label, "fold": 0, "seed": 0, "part": "test"}
    pq.write_table(pa.Table.from_pylist([*rows, leak], table.schema), tmp_path / "predictions.parquet")
    with pytest.raises(MienError, match=f"{learnt} .* belongs to the training part"):
        evaluate_experiment("plain", made / "data/shards/toy", tmp_path, tmp_path / "out", tree.params())
    assert not (tmp_path / "out").exists()
