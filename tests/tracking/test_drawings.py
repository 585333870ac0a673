"""The figures that a run is given are those of the report."""

import json

from mien.evaluation.stage import evaluate_experiment
from mien.tracking.drawings import drawings
from tests.evaluation import alien, tree


def test_a_one_class_experiment_has_the_ratio_study_of_each_trial(tmp_path):
    trials = [{"folds_by": "picture"}, {"folds_by": "subject"}]
    entry = {"method": "deep_svdd", "corpus": "toy", "second_corpus": "toy", "folds": [0], "trials": trials}
    corpora = {"toy": tree.params().model_dump()["corpora"]["toy"]}
    params = tree.params(methods={"deep_svdd": {}}, experiments={"one": entry}, corpora=corpora)
    index = tree.make_corpus("toy", tmp_path / "data", params)
    alien.make_run("one", index, tmp_path / "runs", params, 1.0)
    folder, results = tmp_path / "runs/one", tmp_path / "results/one"
    evaluate_experiment("one", tmp_path / "data/shards/toy", folder, results, params)
    run = json.loads((folder / "run.json").read_text()) | {"experiment": "one"}
    drawn = drawings(params.experiments["one"], run, folder, results)
    assert list(drawn) == ["ratio-toy-all-picture", "ratio-toy-all-subject"]
    assert all(picture.startswith(b"\x89PNG") for picture in drawn.values())
    assert len(set(drawn.values())) == 2
