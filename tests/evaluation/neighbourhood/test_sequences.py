"""Failing sequences, by the specification's toy cases and on a made-up index."""

import numpy as np
import pytest

from mien.evaluation.neighbourhood.sequences import consistent, failing, failures
from mien.evaluation.predictions import Predictions
from tests.shards.test_frames import index_of


@pytest.mark.parametrize(
    ("predicted", "fails", "alike"),
    [([2, 2, 2, 2], False, False), ([2, 2, 2, 1], True, False), ([1, 1, 1, 1], True, True), ([1, 1, 1, 3], True, False)],
)  # fmt: skip
def test_the_toy_cases_of_the_specification(predicted, fails, alike) -> None:
    assert (failing(predicted, 2), consistent(predicted, 2)) == (fails, alike)


def said(index, wrong: dict[str, int]) -> Predictions:
    """Every tested frame of two seeds named rightly (class 0 of 3), but for these keys in seed 1."""
    rows = [
        (seed, key)
        for seed in (0, 1)
        for key in sorted(index.keys.tolist())
        if not key.endswith(("-7", "-2"))
    ]
    told = np.array([wrong.get(key, 0) if seed else 0 for seed, key in rows])
    return Predictions(
        key=np.array([key for _, key in rows], dtype=object),
        fold=np.zeros(len(rows), dtype=np.int64),
        seed=np.array([seed for seed, _ in rows]),
        part=np.array(["test"] * len(rows), dtype=object),
        label=np.zeros(len(rows), dtype=np.int64),
        probabilities=np.eye(3)[told],
    )


def test_shares_of_sequences_by_seed_and_the_cases_with_their_frames_in_order(tmp_path) -> None:
    index = index_of(tmp_path, 8, 8, 8, 8)
    wrong = {f"k0-{n}": 2 for n in range(3, 7)} | {"k1-5": 1}
    found = failures(said(index, wrong), index)
    assert found.failing.tolist() == [0, 0.5]
    assert found.consistent.tolist() == [0, 0.25]
    assert found.tested == 4
    first, second = found.cases
    assert (first.consistent, second.consistent) == (True, False)
    assert second.predicted == [0, 0, 1, 0]
    assert index.keys[second.rows].tolist() == [f"k1-{n}" for n in range(3, 8)]
