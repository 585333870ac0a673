import re
from dataclasses import replace

import numpy as np
import pytest

from mien.config import MienError
from mien.evaluation.integrity import Parts, check
from mien.evaluation.predictions import Predictions
from tests.evaluation.samples import predictions


@pytest.fixture
def run():
    """Predictions of two folds, with validation keys, and what the index says of them."""
    made, _ = predictions()
    label = dict(zip(made.key.tolist(), made.label.tolist(), strict=True))
    keys = {fold: made.key[made.fold == fold].tolist() for fold in (0, 1)}
    parts = {(f, 0): Parts(train=keys[1 - f][5:], validation=keys[1 - f][:5], test=keys[f]) for f in (0, 1)}
    rows = [(f, 0, "validation", k, label[k]) for f in (0, 1) for k in parts[f, 0].validation]
    fold, seed, part, key, labels = zip(*rows, strict=True)
    more = Predictions(
        key=np.array(key, dtype=object),
        fold=np.array(fold),
        seed=np.array(seed),
        part=np.array(part, dtype=object),
        label=np.array(labels),
        probabilities=np.full((len(rows), 3), 1 / 3),
    )
    joined = joining(made, more)
    check(joined, parts, label)
    return joined, parts, label


def joining(*sides):
    whole = {n: np.concatenate([getattr(s, n) for s in sides]) for n in vars(sides[0])}
    order = sorted(
        range(len(whole["key"])), key=lambda i: tuple(whole[n][i] for n in ("fold", "seed", "part", "key"))
    )
    return Predictions(**{n: v[order] for n, v in whole.items()})


def refused(made, parts, label, sentence):
    with pytest.raises(MienError, match=re.escape(sentence)):
        check(made, parts, label)


@pytest.mark.parametrize("part", ["test", "validation"])
def test_a_missing_key_is_named(run, part):
    made, parts, label = run
    first = np.flatnonzero((made.part == part) & (made.fold == 1))[0]
    kept = np.arange(len(made)) != first
    refused(
        made.only(kept),
        parts,
        label,
        f"{made.key[first]} of the {part} part of fold 1, seed 0 is not predicted",
    )


def test_a_key_predicted_twice_is_named(run):
    made, parts, label = run
    twice = joining(made, made.only(np.arange(len(made)) == 7))
    refused(twice, parts, label, f"{made.key[7]} is predicted twice in the test part of fold 0, seed 0")


def test_a_key_that_the_index_does_not_have_is_named(run):
    made, parts, label = run
    foreign = made.only(np.arange(len(made)) == 0)
    foreign = replace(foreign, key=np.array(["stranger"], dtype=object))
    refused(
        joining(made, foreign),
        parts,
        label,
        "stranger is predicted in the test part of fold 0, seed 0, but the index",
    )


@pytest.mark.parametrize("part", ["training", "validation"])
def test_a_key_that_the_model_learnt_from_is_named(run, part):
    made, parts, label = run
    key = parts[0, 0].train[0] if part == "training" else parts[0, 0].validation[0]
    leak = made.only(np.arange(len(made)) == 0)
    leak = replace(leak, key=np.array([key], dtype=object), label=np.array([label[key]]))
    refused(
        joining(made, leak),
        parts,
        label,
        f"{key} is predicted in the test part of fold 0, seed 0, but it belongs to the {part} part",
    )


def test_a_label_that_disagrees_is_named(run):
    made, parts, label = run
    key = made.key[12]
    refused(made, parts, {**label, key: (label[key] + 1) % 3}, f"{key} has label {label[key]} predicted")


@pytest.mark.parametrize("wrong", [[np.nan, 0.5, 0.5], [0.5, 0.6, 0.1], [1.5, -0.5, 0.0], [np.inf, 0, 0]])
def test_what_is_no_probability_is_named(run, wrong):
    made, parts, label = run
    values = made.probabilities.copy()
    values[4] = wrong
    refused(
        replace(made, probabilities=values),
        parts,
        label,
        f"{made.key[4]} of fold 0, seed 0 has probabilities",
    )


def test_a_lacking_and_a_foreign_cell_are_named(run):
    made, parts, label = run
    refused(made, {**parts, (0, 1): parts[0, 0]}, label, "predictions lack fold 0, seed 1")
    refused(made, {(0, 0): parts[0, 0]}, label, "predictions hold fold 1, seed 0")
    refused(made.only(made.fold == 5), parts, label, "predictions lack fold 0, seed 0")


def test_folds_that_share_a_test_key_are_refused(run):
    made, parts, label = run
    shared = made.only((made.fold == 0) & (made.part == "test") & (made.key == parts[0, 0].test[0]))
    in_both = joining(made, replace(shared, fold=np.array([1])))
    wider = {**parts, (1, 0): replace(parts[1, 0], test=[*parts[1, 0].test, shared.key[0]])}
    refused(in_both, wider, label, f"{shared.key[0]} is tested in folds 0 and 1 of seed 0")
