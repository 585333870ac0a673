import math

import numpy as np
import pytest
import sklearn.metrics as reference

from mien.evaluation.metrics import count, cross_entropy, rates, row_normalised

RAF_DB_TEST = np.array(
    [329, 74, 160, 1185, 478, 162, 680]
)  # surprise, fear, disgust, happiness, sadness, anger, neutral


def drawn(seed=0, samples=500, classes=7):
    source = np.random.default_rng(seed)
    label = source.choice(classes, samples, p=source.dirichlet(np.ones(classes)))
    probabilities = source.dirichlet(np.ones(classes), samples)
    return label, probabilities


@pytest.mark.filterwarnings("ignore:y_pred contains")
@pytest.mark.parametrize("seed", range(5))
def test_figures_equal_those_of_scikit_learn(seed):
    label, probabilities = drawn(seed)
    predicted = probabilities.argmax(axis=1)
    got = rates(count(label, predicted, 7))
    there = sorted(set(label))
    precision, recall, f1, _ = reference.precision_recall_fscore_support(
        label, predicted, labels=there, zero_division=0
    )
    np.testing.assert_allclose(got.accuracy, reference.accuracy_score(label, predicted), rtol=1e-12)
    np.testing.assert_allclose(
        got.mean_accuracy, reference.balanced_accuracy_score(label, predicted), rtol=1e-12
    )
    np.testing.assert_allclose(got.macro_f1, np.mean(f1), rtol=1e-12)
    for ours, theirs in ((got.recall, recall), (got.precision, precision), (got.f1, f1)):
        np.testing.assert_allclose(ours[there], theirs, rtol=1e-12)
    loss = reference.log_loss(label, probabilities, labels=range(7))
    np.testing.assert_allclose(cross_entropy(label, probabilities), loss, rtol=1e-12)


def test_happiness_everywhere_on_the_raf_db_test_counts():
    label = np.repeat(np.arange(7), RAF_DB_TEST)
    got = rates(count(label, np.full(len(label), 3), 7))
    assert round(float(got.accuracy) * 100, 2) == 38.62  # 1185 / 3068
    assert round(float(got.mean_accuracy) * 100, 2) == 14.29  # 1 / 7
    assert got.recall.tolist() == [0, 0, 0, 1, 0, 0, 0]
    assert float(got.f1[3]) == 2 * 1185 / (1185 + 3068)
    assert got.precision.tolist() == [0, 0, 0, 1185 / 3068, 0, 0, 0]


def test_a_class_without_samples_is_left_out_of_the_means():
    got = rates(count(np.array([0, 0, 1]), np.array([0, 2, 1]), 3))
    assert float(got.mean_accuracy) == 0.75  # (1/2 + 1) / 2
    assert math.isnan(got.recall[2])
    assert float(got.macro_f1) == pytest.approx((2 / 3 + 1) / 2, rel=1e-12)
    shares = row_normalised(np.array([[1, 0, 1], [0, 1, 0], [0, 0, 0]]))
    assert shares[0].tolist() == [0.5, 0, 0.5]
    assert np.isnan(shares[2]).all()


def test_nothing_to_count_gives_nan_and_no_warning(recwarn):
    nothing = np.array([], dtype=np.int64)
    got = rates(count(nothing, nothing, 3))
    assert math.isnan(got.accuracy)
    assert math.isnan(got.mean_accuracy)
    assert math.isnan(cross_entropy(nothing, np.zeros((0, 3))))
    assert not recwarn.list


def test_a_stack_of_matrices_gives_the_figures_of_each():
    stack = np.random.default_rng(0).integers(0, 9, (4, 3, 3))
    whole = rates(stack)
    for i, matrix in enumerate(stack):
        assert float(whole.macro_f1[i]) == float(rates(matrix).macro_f1)
        assert whole.recall[i].tolist() == rates(matrix).recall.tolist()


def test_a_certain_error_costs_a_finite_entropy():
    assert cross_entropy(np.array([0]), np.array([[0.0, 1.0]])) == pytest.approx(
        36.04, abs=0.01
    )  # -log 2.2e-16
    assert cross_entropy(np.array([1]), np.array([[0.75, 0.25]])) == pytest.approx(math.log(4), rel=1e-12)


def test_order_moves_no_digit():
    label, probabilities = drawn(samples=3000)
    order = np.random.default_rng(1).permutation(len(label))
    assert cross_entropy(label, probabilities) == cross_entropy(label[order], probabilities[order])
    counts = count(label, probabilities.argmax(axis=1), 7)
    assert (counts == count(label[order], probabilities[order].argmax(axis=1), 7)).all()
