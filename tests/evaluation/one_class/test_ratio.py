from fractions import Fraction

import numpy as np
import pytest

from mien.evaluation.one_class.auc import placements
from mien.evaluation.one_class.ratio import RATIOS, drawn_aucs, name


def made(n=40, counts=(40, 40, 40), shift=0.6, seed=0):
    source = np.random.default_rng(seed)
    return source.normal(0, 1, n), [source.normal(shift * (i + 1), 1, k) for i, k in enumerate(counts)]


def test_the_grid_is_that_of_the_paper():
    assert [name(ratio) for ratio in RATIOS] == ["1:10", "1:5", "1:2", "1:1", "2:1", "5:1", "10:1"]


def test_equal_shares_of_equal_classes_are_everything():
    normal, aliens = made()
    drawn = drawn_aucs(normal, aliens, Fraction(1), 5, np.random.default_rng(0))
    exact = np.mean([placements(normal, alien).mean() for alien in aliens])
    np.testing.assert_allclose(drawn, exact, rtol=1e-12)


@pytest.mark.parametrize("ratio", RATIOS, ids=name)
@pytest.mark.parametrize("counts", [(40, 40, 40), (90, 25, 40)], ids=["balanced", "unbalanced"])
def test_each_curve_is_flat_in_expectation(ratio, counts):
    """AUC does not depend on prevalence: the mean over drawings is within 3 standard errors of that at 1:1."""
    normal, aliens = made(counts=counts)
    drawn = drawn_aucs(normal, aliens, ratio, 400, np.random.default_rng(1))
    equal = drawn_aucs(normal, aliens, Fraction(1), 400, np.random.default_rng(2))
    error = np.hypot(drawn.std(ddof=1), equal.std(ddof=1)) / np.sqrt(400)
    assert abs(drawn.mean() - equal.mean()) <= 3 * error + 1e-12


@pytest.mark.parametrize("ratio", [Fraction(1, 10), Fraction(5, 1)], ids=name)
def test_a_drawing_by_hand(ratio):
    """One draw is the AUC of so many faces without replacement: found again among all that could be drawn."""
    normal, aliens = np.array([0.1, 0.7, 0.5, 0.9, 0.3]), [np.array([0.2, 0.6, 0.8, 0.4, 1.0])]
    drawn = drawn_aucs(normal, aliens, ratio, 60, np.random.default_rng(3))
    if ratio < 1:  # 5 / 10 normal faces: one, rounded up; all aliens stay
        possible = {float(placements(np.array([own]), aliens[0]).mean()) for own in normal}
    else:  # 5 / 5 aliens: one; all normal faces stay
        possible = {float(p) for p in placements(normal, aliens[0])}
    assert {round(x, 9) for x in drawn} == {round(x, 9) for x in possible}


def test_equal_scores_count_half():
    drawn = drawn_aucs(np.ones(10), [np.ones(10)], Fraction(1, 2), 4, np.random.default_rng(0))
    np.testing.assert_allclose(drawn, 0.5)


def test_the_spread_grows_where_few_faces_are_drawn():
    normal, aliens = made()
    few, most = (
        drawn_aucs(normal, aliens, Fraction(*pair), 300, np.random.default_rng(5)).std()
        for pair in ((1, 10), (1, 2))
    )
    assert few > 2 * most


def test_chunks_make_no_difference(monkeypatch):
    normal, aliens = made()
    whole = drawn_aucs(normal, aliens, Fraction(1, 5), 20, np.random.default_rng(6))
    monkeypatch.setattr("mien.evaluation.one_class.ratio.ENTRIES", 7 * len(normal))
    parts = drawn_aucs(normal, aliens, Fraction(1, 5), 20, np.random.default_rng(6))
    np.testing.assert_allclose(parts, whole, rtol=1e-12)
