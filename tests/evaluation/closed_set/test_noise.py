"""Paired tests of methods trained on the same wrong labels."""

import math

import numpy as np
import pytest

from mien.evaluation.closed_set.noise import Rights, compared, mcnemar


def made(*cells: list[int], keys: str = "abcdefghij") -> Rights:
    of = {(0, seed): np.array(cell, dtype=bool) for seed, cell in enumerate(cells)}
    return Rights(of, {cell: tuple(keys) for cell in of})


def test_mcnemar_by_hand() -> None:
    one, other = np.array([1, 1, 1, 1, 0, 1], bool), np.array([0, 0, 0, 0, 1, 1], bool)
    assert mcnemar(one, other) == pytest.approx(2 * (1 + 5) / 2**5)  # 4 against 1 of 5
    assert mcnemar(one, one) == 1.0


def test_compared_by_hand() -> None:
    one = made([1] * 9 + [0], [1] * 8 + [0] * 2, [1] * 10)
    other = made([1] * 8 + [0] * 2, [1] * 5 + [0] * 5, [1] * 9 + [0])
    found = compared(one, other)
    assert found.difference == pytest.approx((0.1 + 0.3 + 0.1) / 3)
    mean, spread = 0.5 / 3, np.std([0.1, 0.3, 0.1], ddof=1)
    assert mean / (spread / math.sqrt(3)) == pytest.approx(2.5)
    assert found.t_test == pytest.approx(0.1296, abs=1e-4)  # two-sided, t = 2.5 with 2 degrees of freedom
    assert found.mcnemar == pytest.approx([1.0, 0.25, 1.0])


def test_only_trainings_of_both_that_tested_the_same_faces_count() -> None:
    one = made([1, 0, 1], [1, 1, 1], keys="abc")
    assert compared(one, made([0, 0, 1], keys="abc")).difference == pytest.approx(1 / 3)
    assert math.isnan(compared(one, made([0, 0, 1], keys="abc")).t_test)
    assert compared(one, made([0, 0, 1], keys="abd")) is None
