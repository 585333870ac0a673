"""Paired tests by hand, and against the figures that they weigh."""

import math

import numpy as np
import pytest

from mien.evaluation.metrics import count, rates
from mien.evaluation.paired import by_person, mcnemar, mean_accuracy_weights, sign_flip


def test_the_weights_of_right_answers_sum_to_the_mean_accuracy() -> None:
    random = np.random.default_rng(0)
    label, predicted = random.integers(0, 3, (2, 60))
    fold, seed = random.integers(0, 2, 60), random.integers(0, 2, 60)
    weight = mean_accuracy_weights(label, fold, seed)
    by_fold = []
    for f in (0, 1):
        cells = [(fold == f) & (seed == s) for s in (0, 1)]
        by_fold.append(np.mean([rates(count(label[c], predicted[c], 3)).mean_accuracy for c in cells]))
    assert (weight * (label == predicted)).sum() == pytest.approx(np.mean(by_fold), abs=1e-12)
    assert weight.sum() == pytest.approx(1, abs=1e-12)


def test_gains_are_summed_by_person_in_the_order_of_names() -> None:
    assert by_person(np.array([1.0, 2.0, 4.0]), ["b", "a", "b"]).tolist() == [2.0, 5.0]


def test_sign_flips_of_few_people_are_counted_out() -> None:
    # of 2^4 flips one sums to 10, and one to 8 with the 1 flipped
    gains = np.array([1.0, 2.0, 3.0, 4.0])
    assert sign_flip(gains, 0, "greater") == pytest.approx(1 / 16)
    assert sign_flip(gains * [-1, 1, 1, 1], 0, "greater") == pytest.approx(2 / 16)
    assert sign_flip(gains, 0, "two-sided") == pytest.approx(2 / 16)
    assert sign_flip(np.zeros(4), 0, "greater") == 1
    assert math.isnan(sign_flip(np.array([1.0]), 0, "greater"))


def test_sign_flips_of_many_people_are_drawn_alike_each_time() -> None:
    gains = np.random.default_rng(1).normal(0.3, 1, 40)
    assert sign_flip(gains, 3, "greater") == sign_flip(gains, 3, "greater")
    assert 0.0 < sign_flip(gains, 3, "greater") < 0.2
    assert sign_flip(-gains, 3, "greater") > 0.8


def test_mcnemar_by_hand() -> None:
    assert mcnemar(1, 9) == pytest.approx(2 * (1 + 10) / 2**10)
    assert mcnemar(0, 0) == 1
