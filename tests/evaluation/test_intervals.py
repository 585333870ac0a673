import math

import numpy as np
import pytest
from scipy import stats

from mien.evaluation.intervals import over_cells, over_people, paired, tally
from mien.evaluation.metrics import count, rates
from tests.evaluation.samples import predictions


def figure(found):
    return found.mean_accuracy


def accuracy(found):
    return found.accuracy


def tallies(seed=0, **shape):
    made, subject = predictions(seed, **shape)
    return tally(made, subject, 3), made


def test_the_mean_is_that_of_the_cells():
    folds, made = tallies(seeds=(0, 1))
    by_hand = [float(rates(count(c.label, c.predicted, 3)).mean_accuracy) for _, c in made.by_cell()]
    got = over_people(folds, figure, 0.95, 100, 0)
    assert got.mean == pytest.approx(np.mean(by_hand), rel=1e-12)
    assert got.low < got.mean < got.high
    assert got.units == 8


def test_the_interval_is_deterministic_and_moved_by_the_seed_only():
    folds, _ = tallies()
    first = over_people(folds, figure, 0.95, 200, 0)
    assert first == over_people(folds, figure, 0.95, 200, 0)
    assert first != over_people(folds, figure, 0.95, 200, 1)


def test_the_order_of_predictions_moves_no_digit():
    made, subject = predictions(seeds=(0, 1))
    order = np.random.default_rng(2).permutation(len(made))
    shuffled = type(made)(**{name: getattr(made, name)[order] for name in vars(made)})
    once = over_people(tally(made, subject, 3), figure, 0.95, 200, 0)
    assert once == over_people(tally(shuffled, subject, 3), figure, 0.95, 200, 0)


def test_the_draws_agree_with_a_slow_loop_over_people():
    folds, _ = tallies(folds=1, people=6)
    counts = folds[0][(0, 0)]
    source, slow = np.random.default_rng(0), []
    for start in (0, 64):
        for drawn in source.integers(0, 6, (min(64, 100 - start), 6)):
            slow.append(float(rates(sum(counts[i] for i in drawn)).accuracy))
    tail = stats.norm.cdf(stats.t.ppf(0.05, 5) * math.sqrt(6 / 5))
    got = over_people(folds, accuracy, 0.9, 100, 0)
    assert [got.low, got.high] == pytest.approx(np.quantile(slow, [tail, 1 - tail]).tolist(), rel=1e-12)


@pytest.mark.parametrize(("people", "least"), [(12, 0.90), (40, 0.91)])
def test_the_interval_covers_the_truth_about_as_often_as_it_says(people, least):
    """People differ in how easy they are; an interval over pictures would cover far less often."""
    truth = np.mean(
        [over_people(tallies(s, people=500)[0], accuracy, 0.95, 2, 0).mean for s in range(1000, 1020)]
    )
    found = [over_people(tallies(s, people=people)[0], accuracy, 0.95, 200, 0) for s in range(200)]
    covered = np.mean([i.low <= truth <= i.high for i in found])
    assert least <= covered <= 0.99


def test_one_person_a_fold_gives_no_interval():
    folds, _ = tallies(people=2)
    got = over_people(folds, figure, 0.95, 100, 0)
    assert not math.isnan(got.mean)
    assert math.isnan(got.low)
    assert math.isnan(got.high)


def test_cells_give_students_interval():
    got = over_cells([0.5, 0.6, 0.7], 0.95)
    assert got.mean == pytest.approx(0.6)
    assert got.high - got.mean == pytest.approx(4.302653 * 0.1 / math.sqrt(3), rel=1e-6)
    assert math.isnan(over_cells([0.5], 0.95).low)
    assert math.isnan(over_cells([], 0.95).mean)


def test_a_paired_difference_is_surer_than_two_intervals():
    made, subject = predictions(0, people=40)
    # the second is the first with one answer in ten put right: every person gains
    better = made.probabilities.copy()
    better[::10] = np.eye(3)[made.label[::10]]
    second = type(made)(**{**vars(made), "probabilities": better})
    one, two = tally(made, subject, 3), tally(second, subject, 3)
    got = paired(one, two, figure, 0.95, 500, 0)
    alone = over_people(one, figure, 0.95, 500, 0)
    assert got.mean == pytest.approx(over_people(two, figure, 0.95, 2, 0).mean - alone.mean, rel=1e-12)
    assert 0 < got.low < got.mean < got.high
    assert got.high - got.low < (alone.high - alone.low) / 2


def test_nothing_differs_from_itself():
    folds, _ = tallies()
    got = paired(folds, folds, figure, 0.95, 100, 0)
    assert (got.mean, got.low, got.high) == (0, 0, 0)


def test_other_people_cannot_be_paired():
    with pytest.raises(ValueError, match="same folds and people"):
        paired(tallies()[0], tallies(people=10)[0], figure, 0.95, 100, 0)
