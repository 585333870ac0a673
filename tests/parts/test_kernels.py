import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import polynomial_kernel, rbf_kernel

from mien.parts.kernels import Expansion, gamma_of, kernel, own_kernel

X, Y = (torch.from_numpy(np.random.default_rng(seed).normal(size=(7, 4))) for seed in (0, 1))
GAMMA = torch.tensor(0.3, dtype=torch.float64)


def test_kernels_are_those_of_scikit_learn() -> None:
    np.testing.assert_allclose(kernel(X, Y, "rbf", GAMMA), rbf_kernel(X, Y, 0.3), rtol=1e-12)
    np.testing.assert_allclose(
        kernel(X, Y, "poly", GAMMA), polynomial_kernel(X, Y, degree=3, gamma=0.3, coef0=1), rtol=1e-12
    )


@pytest.mark.parametrize("name", ["rbf", "poly"])
def test_a_point_with_itself_is_the_diagonal(name) -> None:
    torch.testing.assert_close(own_kernel(X, name, GAMMA), kernel(X, X, name, GAMMA).diagonal())


def test_widths_by_hand() -> None:
    line = np.array([[0.0, 0.0], [2.0, 0.0], [4.0, 0.0]])  # distances 2, 2, 4
    assert gamma_of("median", line) == pytest.approx(4.5 / 2**2)
    assert gamma_of("scale", line) == pytest.approx(1 / (2 * line.var()))
    assert gamma_of(0.25, line) == 0.25


def test_an_expansion_is_a_weighted_sum() -> None:
    expansion = Expansion("rbf")
    assert expansion(X.float()[:, :0]).tolist() == [0.0] * 7  # before it is solved: nothing
    expansion.keep(vectors=Y[:2], weights=[0.25, 0.75], gamma=0.3)
    by_hand = rbf_kernel(X, Y[:2], 0.3) @ [0.25, 0.75]
    np.testing.assert_allclose(expansion(X.float()), by_hand, rtol=1e-5)
