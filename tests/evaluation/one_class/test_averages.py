import math

import numpy as np
import pytest

from mien.evaluation.one_class.averages import of_values, std

VALUES = {
    (0, 0, "happy"): 0.6,
    (0, 1, "happy"): 0.8,
    (0, 0, "sad"): 0.4,
    (0, 1, "sad"): 0.5,
    (1, 0, "happy"): 0.7,
    (1, 1, "happy"): 0.7,
    (1, 0, "sad"): 0.5,
    (1, 1, "sad"): 0.6,
}


def test_means_and_spreads_by_hand():
    table = of_values(VALUES)
    happy, sad = table.classes["happy"], table.classes["sad"]
    assert (happy.mean, sad.mean) == pytest.approx((0.7, 0.5))
    assert happy.std_folds == pytest.approx(np.std([0.65, 0.75], ddof=1))
    assert happy.std_seeds == pytest.approx(0)  # .7 and .7
    assert sad.std_seeds == pytest.approx(np.std([0.45, 0.55], ddof=1))
    assert table.mean.mean == pytest.approx(0.6)
    assert table.mean.std_folds == pytest.approx(np.std([0.55, 0.65], ddof=1))
    assert table.by_seed == pytest.approx({0: 0.575, 1: 0.625})
    assert table.mean.std_seeds == pytest.approx(np.std([0.575, 0.625], ddof=1))
    assert (table.mean.cells, table.mean.of, happy.cells, happy.of) == (8, 8, 4, 4)


def test_an_empty_cell_is_left_out_and_counted():
    table = of_values({**VALUES, (0, 1, "happy"): math.nan})
    assert table.classes["happy"].mean == pytest.approx((0.6 + 0.7 + 0.7) / 3)
    assert (table.mean.cells, table.mean.of, table.classes["happy"].cells) == (7, 8, 3)
    assert table.mean.mean == pytest.approx(((0.6 + 0.7 + 0.7) / 3 + 0.5) / 2)


def test_an_empty_cell_alone_makes_no_spread():
    """Two classes apart by .3, folds alike: leaving one cell out must not look like a spread over folds."""
    values = {(0, fold, name): value for fold in (0, 1) for name, value in (("a", 0.8), ("b", 0.5))}
    assert of_values({**values, (0, 1, "a"): math.nan}).mean.std_folds == pytest.approx(0)


def test_a_class_without_any_figure_leaves_the_mean_to_the_others():
    table = of_values({**VALUES, **{key: math.nan for key in VALUES if key[2] == "sad"}})
    assert math.isnan(table.classes["sad"].mean)
    assert table.mean.mean == pytest.approx(0.7)


def test_one_fold_and_one_seed_have_no_spread():
    table = of_values({(0, 0, "happy"): 0.6})
    assert math.isnan(table.mean.std_folds)
    assert math.isnan(table.mean.std_seeds)
    assert math.isnan(std([0.5, math.nan]))
