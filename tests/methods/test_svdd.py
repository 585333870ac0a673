import numpy as np
import pytest
import torch

from mien.parts.ball import bound, solve_ball
from mien.parts.vectors import contrast_vectors
from tests import digits, tiny

TINY = {"input_px": 8}
FIT = tiny.build("svdd").phases()[0]


def test_nu_of_one_scores_the_distance_to_the_mean() -> None:
    method, train, test = tiny.build("svdd", nu=1.0), tiny.faces(30, seed=1), tiny.faces(9, seed=2)
    method.fit([train], FIT)
    mean = contrast_vectors(train.faces, 8).double().mean(dim=0)
    expected = (contrast_vectors(test.faces, 8).double() - mean).square().sum(dim=1)
    torch.testing.assert_close(method.predict(test)[:, 0].double(), expected, rtol=1e-5, atol=0)


def test_a_shift_of_all_data_changes_nothing() -> None:
    train, test = (np.random.default_rng(seed).normal(size=(60, 5)) for seed in (0, 1))
    scores = []
    for shift in (0, 5):
        moved = train + shift
        centre = solve_ball(moved @ moved.T, bound(0.1, 60), tolerance=1e-12).weights @ moved
        scores.append(((test + shift - centre) ** 2).sum(axis=1))
    np.testing.assert_allclose(scores[1], scores[0], rtol=1e-9)


def test_at_most_nu_of_the_faces_lies_outside_the_ball() -> None:
    method, train = tiny.build("svdd", nu=0.1), tiny.faces(100)
    method.fit([train], FIT)
    record = method.record()
    outside = (method.predict(train)[:, 0] > record["radius2"] * (1 + 1e-5)).float().mean()
    assert 0 < outside <= 0.1
    assert record["support_vectors"] >= 10


@pytest.mark.slow
def test_digits() -> None:
    assert digits.mean_auc("svdd", input_px=32) >= 0.93  # 0.959
