import numpy as np
import pytest
from scipy.optimize import minimize

from mien.config import MienError
from mien.parts.ball import bound, solve_ball

CLOUD = np.random.default_rng(0).normal(size=(200, 5))
LINEAR = CLOUD @ CLOUD.T
RBF = np.exp(-0.2 * ((CLOUD[:, None] - CLOUD[None]) ** 2).sum(axis=2))


def test_two_points_by_hand() -> None:
    ball = solve_ball(np.diag([4.0, 0.0]), 1.0)  # (2, 0) and the origin: centre (1, 0)
    np.testing.assert_allclose(ball.weights, [0.5, 0.5], atol=1e-8)
    assert ball.radius2 == pytest.approx(1)
    assert ball.within == pytest.approx(1)


def test_a_hard_ball_touches_its_support_and_holds_all() -> None:
    ball = solve_ball(LINEAR, 1.0)
    distance2 = ((CLOUD - ball.weights @ CLOUD) ** 2).sum(axis=1)
    assert distance2.max() <= ball.radius2 * (1 + 1e-6)
    np.testing.assert_allclose(distance2[ball.weights > 0], ball.radius2, rtol=1e-6)
    assert 2 <= (ball.weights > 0).sum() <= 6  # D + 1 points hold a ball in D dimensions


@pytest.mark.parametrize("gram", [LINEAR, RBF], ids=["linear", "rbf"])
def test_weights_are_in_bounds_and_every_free_one_gives_the_radius(gram: np.ndarray) -> None:
    upper = bound(0.1, len(gram))
    ball = solve_ball(gram, upper)
    assert ball.weights.sum() == pytest.approx(1, abs=1e-10)
    assert (ball.weights >= 0).all()
    assert (ball.weights <= upper).all()
    distance2 = np.diag(gram) - 2 * gram @ ball.weights + ball.within
    free = (ball.weights > 0) & (ball.weights < upper)
    assert free.sum() >= 2
    np.testing.assert_allclose(distance2[free], ball.radius2, rtol=1e-4)
    assert (distance2[ball.weights == 0] <= ball.radius2 * (1 + 1e-6)).all()
    assert (distance2[ball.weights == upper] >= ball.radius2 * (1 - 1e-6)).all()
    assert (ball.weights == upper).mean() <= 0.1 <= (ball.weights > 0).mean()


def test_it_reaches_the_minimum_of_another_solver() -> None:
    gram = RBF[:12, :12]
    ball = solve_ball(gram, bound(0.3, 12))
    start = np.full(12, 1 / 12)
    other = minimize(
        lambda a: a @ gram @ a - a @ np.diag(gram),
        start,
        jac=lambda a: 2 * gram @ a - np.diag(gram),
        bounds=[(0, bound(0.3, 12))] * 12,
        constraints={"type": "eq", "fun": lambda a: a.sum() - 1, "jac": np.ones_like},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    assert other.success
    np.testing.assert_allclose(ball.weights, other.x, atol=1e-5)


def test_nu_of_one_leaves_the_mean() -> None:
    ball = solve_ball(LINEAR, bound(1.0, len(LINEAR)))
    np.testing.assert_allclose(ball.weights, 1 / len(LINEAR), rtol=1e-10)
    assert ball.steps == 0


def test_beyond_one_over_n_the_bound_is_that_of_a_hard_ball() -> None:
    assert bound(0.1, 5) == 1.0
    assert bound(0.1, 100) == pytest.approx(0.1)


def test_the_same_point_twice_does_no_harm() -> None:
    twice = np.concatenate([CLOUD[:20], CLOUD[:20]])
    ball = solve_ball(twice @ twice.T, bound(0.1, 40))
    once = solve_ball(CLOUD[:20] @ CLOUD[:20].T, bound(0.1, 20))
    assert ball.radius2 == pytest.approx(once.radius2, rel=1e-6)


def test_one_point_is_its_own_ball() -> None:
    ball = solve_ball(np.array([[9.0]]), 1.0)
    assert ball.weights.tolist() == [1.0]
    assert ball.radius2 == 0


def test_a_kernel_that_is_not_finite_is_refused() -> None:
    with pytest.raises(MienError, match="not finite; change gamma"):
        solve_ball(np.array([[1.0, np.inf], [np.inf, 1.0]]), 1.0)
