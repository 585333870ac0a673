import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mien.evaluation.one_class.auc import areas, placements

NAMES = {0: "neutral", 1: "happy", 2: "sad", 3: "fear"}


def test_placements_by_hand():
    # below both; equal to one and above one; above both
    np.testing.assert_array_equal(placements(np.array([1.0, 2.0]), np.array([0.0, 2.0, 3.0])), [0, 0.75, 1])


@pytest.mark.parametrize("decimals", [1, 12])  # many ties, and none
def test_agrees_with_scikit_learn_pair_by_pair_and_pooled(decimals):
    source = np.random.default_rng(3)
    label = source.integers(0, 4, 400)
    scores = np.round(source.normal(0, 1, 400) + 0.4 * label, decimals)
    found = areas(scores, label, 1, NAMES)
    for other in (0, 2, 3):
        rows = (label == 1) | (label == other)
        expected = roc_auc_score(label[rows] == other, scores[rows])
        assert found.pairwise[NAMES[other]] == pytest.approx(expected, abs=1e-12)
    assert found.full == pytest.approx(roc_auc_score(label != 1, scores), abs=1e-12)
    assert found.macro == pytest.approx(np.mean(list(found.pairwise.values())), abs=1e-12)


def test_the_pooled_area_is_the_mean_of_pairs_weighted_by_counts():
    source = np.random.default_rng(4)
    label = source.choice(4, 500, p=[0.5, 0.3, 0.15, 0.05])
    found = areas(source.normal(0, 1, 500) + 0.3 * label, label, 0, NAMES)
    counts = {NAMES[k]: int((label == k).sum()) for k in (1, 2, 3)}
    weighted = sum(counts[k] * found.pairwise[k] for k in counts) / sum(counts.values())
    assert abs(found.full - weighted) < 1e-12
    assert abs(found.full - found.macro) > 1e-3  # unequal classes: the two differ


def test_an_area_below_a_half_stays_there():
    label = np.array([0, 0, 1, 1])
    assert areas(np.array([2.0, 3.0, 0.0, 1.0]), label, 0, NAMES).macro == 0


@pytest.mark.parametrize(
    ("scores", "label", "reason"),
    [
        ([1.0, 2.0], [1, 2], "no neutral face in the test part"),
        ([1.0, 2.0], [0, 0], "no alien in the test part, only neutral"),
        ([1.0, math.nan, 2.0], [0, 1, 1], "1 of 3 scores are not finite numbers"),
        ([1.0, math.inf, 2.0], [0, 1, 1], "1 of 3 scores are not finite numbers"),
        ([1.0, 1.0, 1.0], [0, 1, 1], "all 3 scores are the same"),
    ],
)
def test_what_gives_no_area_says_why(scores, label, reason):
    found = areas(np.array(scores), np.array(label), 0, NAMES)
    assert found.empty == reason
    assert math.isnan(found.macro)
    assert math.isnan(found.full)
    assert found.pairwise == {}
