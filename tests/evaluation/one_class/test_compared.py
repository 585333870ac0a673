"""Two one-class trainings side by side, on made-up scores over a miniature corpus."""

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from mien.config import MienError
from mien.config.report import Evaluate
from mien.evaluation.intervals import CHUNK, bounds, draw
from mien.evaluation.one_class.compared import MEAN, OneClassSide, compare_one_class
from mien.evaluation.one_class.scores import read_alien_scores
from mien.evaluation.stage import evaluate_experiment
from mien.shards.index import read_index
from tests.evaluation import alien, tree

ENTRY = {"corpus": "toy", "second_corpus": "toy", "folds": [0, 1], "seeds": [0, 1], "method": "hs_ocfer"}
TRIALS = [{"folds_by": "picture"}, {"folds_by": "subject", "seeds": [0]}]
EVALUATE = Evaluate(resamples=100)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """`weak`, `strong`, and their figures."""
    root = tmp_path_factory.mktemp("compared")
    entry = {**ENTRY, "trials": TRIALS}
    settings = tree.params(methods={"hs_ocfer": {}}, experiments={"weak": entry, "strong": entry})
    index = tree.make_corpus("toy", root / "data", settings)
    for seed, (name, skill) in enumerate({"weak": 0.3, "strong": 1.5}.items()):
        alien.make_run(name, index, root / "runs", settings, skill, seed=seed)
        shards = root / "data/shards/toy"
        evaluate_experiment(name, shards, root / "runs" / name, root / "results" / name, settings)
    return root


@pytest.fixture(scope="module")
def index(made):
    return read_index(made / "data/shards/toy")


def side(made, index, name):
    scores = read_alien_scores(made / "runs" / name / "predictions.parquet", alien.NAMES)
    return OneClassSide(name, "hs_ocfer", "toy", index.digest, scores)


def changed(made, tmp_path, one, change):
    """The same side with other rows; `change` gives a row or None."""
    rows = pq.read_table(made / "runs" / one.name / "predictions.parquet").to_pylist()
    kept = [row for row in map(change, rows) if row is not None]
    return replace(one, scores=alien.scored(tmp_path / "changed.parquet", kept, alien.NAMES))


def test_figures_are_those_of_the_results_and_the_stronger_is_told_apart(made, index):
    found = compare_one_class(side(made, index, "weak"), side(made, index, "strong"), index, EVALUATE)
    results = [json.loads((made / f"results/{name}/scores.json").read_text()) for name in ("weak", "strong")]
    assert [trial.trial for trial in found.trials] == ["all-picture", "all-subject"]
    for number, trial in enumerate(found.trials):
        figures = [scores["trials"][number]["figures"]["fusion"]["auc_macro"] for scores in results]
        for name in tree.EXPRESSIONS:
            means = [side.mean for side in trial.figures[name]]
            assert means == pytest.approx([f["classes"][name]["mean"] for f in figures])
        assert [s.mean for s in trial.figures[MEAN]] == pytest.approx([f["mean"]["mean"] for f in figures])
        apart = trial.differences[MEAN]
        assert apart.mean == pytest.approx(figures[1]["mean"]["mean"] - figures[0]["mean"]["mean"])
        assert 0 < apart.low < apart.mean < apart.high
        assert (trial.faces, trial.people, trial.trainings) == (72, 8, 6)
        assert trial.p_value == pytest.approx(2 / 2**6)  # all of six gain
        assert np.nanmean(trial.pairwise_points) / 100 == pytest.approx(apart.mean)
        assert np.isnan(np.diag(trial.pairwise_points)).all()


def test_intervals_are_of_faces_drawn_by_person(made, index):
    """Against scikit-learn's AUC of the drawn people's faces, each repeated as often as it was drawn."""
    weak, strong = side(made, index, "weak"), side(made, index, "strong")
    found = compare_one_class(weak, strong, index, EVALUATE).trials[1].figures["happy"][0]
    cells = [
        (c, s) for c, s in weak.scores.by_cell("test") if (c.trial, c.normal) == ("all-subject", "happy")
    ]
    people = sorted(set(index.subject.tolist()))
    who = {key: people.index(name) for key, name in zip(index.keys.tolist(), index.subject, strict=True)}
    strata = [sorted({who[key] for key in scores.key}) for _, scores in cells]
    assert sorted(strata[0] + strata[1]) == list(range(8))  # people of folds by person are apart
    times, source = np.zeros((EVALUATE.resamples, 8), dtype=int), np.random.default_rng(EVALUATE.seed)
    for start in range(0, len(times), CHUNK):
        rows = times[start : start + CHUNK]
        for members in strata:
            rows[:, members] = draw(source, len(rows), len(members))
    drawn = []
    for row in times:
        aucs = []
        for _, scores in cells:
            often = row[[who[key] for key in scores.key]]
            label, values = np.repeat(scores.label, often), np.repeat(scores.values[:, 0], often)
            for other in (0, 2):
                here = np.isin(label, [1, other])
                aucs.append(roc_auc_score(label[here] == other, values[here]))
        drawn.append(np.mean(aucs))
    assert (found.low, found.high) == pytest.approx(bounds(np.array(drawn), 8, 2, EVALUATE.confidence))


def test_one_person_in_all_folds_is_drawn_once(made, index, tmp_path):
    """Folds by picture share people: two of them are two units, not two a fold."""
    two = [f"person{n}" for n in (0, 1)]
    person = dict(zip(index.keys.tolist(), index.subject.tolist(), strict=True))

    def of_two(row):
        return row if person[row["key"]] in two and row["folds_by"] == "picture" else None

    sides = [changed(made, tmp_path, side(made, index, name), of_two) for name in ("weak", "strong")]
    trial = compare_one_class(*sides, index, EVALUATE).trials[0]
    assert trial.people == 2
    assert np.isfinite(trial.differences[MEAN].low)  # one degree of freedom; with two strata there were none


def test_sides_change_places_and_nothing_differs_from_itself(made, index):
    weak, strong = side(made, index, "weak"), side(made, index, "strong")
    forth, back = (
        compare_one_class(weak, strong, index, EVALUATE),
        compare_one_class(strong, weak, index, EVALUATE),
    )
    for one, two in zip(forth.trials, back.trials, strict=True):
        assert one.differences[MEAN].mean == pytest.approx(-two.differences[MEAN].mean)
        assert one.differences[MEAN].low == pytest.approx(-two.differences[MEAN].high)
        assert one.p_value == two.p_value
    same = compare_one_class(weak, weak, index, EVALUATE).trials[0]
    assert vars(same.differences[MEAN]) == {"mean": 0.0, "low": 0.0, "high": 0.0, "units": 8}
    assert same.p_value == 1.0


def test_only_what_both_have_is_compared(made, index, tmp_path):
    weak, strong = side(made, index, "weak"), side(made, index, "strong")
    fewer = changed(made, tmp_path, strong, lambda row: row if (row["fold"], row["seed"]) == (0, 0) else None)
    found = compare_one_class(weak, fewer, index, EVALUATE)
    assert [len(trial.cells) for trial in found.trials] == [3, 3]

    def broken(row):
        return row | {"scores": [np.nan] * 3} if row["normal"] == "sad" else row

    found = compare_one_class(weak, changed(made, tmp_path, strong, broken), index, EVALUATE)
    assert list(found.trials[1].figures) == ["neutral", "happy", MEAN]
    assert found.trials[1].left_out[0].startswith("all-subject-sad-fold0-seed0: 36 of 36 scores")


def test_what_cannot_be_held_face_against_face_is_refused(made, index, tmp_path):
    weak, strong = side(made, index, "weak"), side(made, index, "strong")
    with pytest.raises(MienError, match="other shards"):
        compare_one_class(weak, replace(strong, shards_digest="0"), index, EVALUATE)
    with pytest.raises(MienError, match="only trainings on one corpus"):
        compare_one_class(weak, replace(strong, corpus="another"), index, EVALUATE)
    other = changed(made, tmp_path, strong, lambda row: row | {"seed": row["seed"] + 5})
    with pytest.raises(MienError, match="no trial, fold, seed and normal class in common"):
        compare_one_class(weak, other, index, EVALUATE)
    first = index.keys.tolist()[0]
    other = changed(made, tmp_path, strong, lambda row: row if row["key"] != first else None)
    with pytest.raises(MienError, match="test other faces in all-"):
        compare_one_class(weak, other, index, EVALUATE)
    silent = changed(made, tmp_path, strong, lambda row: row | {"scores": [0.0] * 3})
    with pytest.raises(MienError, match="no cell has an AUC on both sides"):
        compare_one_class(weak, silent, index, EVALUATE)
