import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from mien.methods.contract import Method
from tests import digits, tiny

TINY = {"input_px": 8}
FIT = tiny.build("svdd_kernel").phases()[0]


def both(gamma: float | str) -> tuple[Method, Method]:
    """The one-class SVM and SVDD, both with an RBF kernel of this width, solved on the same faces."""
    svm, ball = (tiny.build(name, gamma=gamma, nu=0.2) for name in ("oc_svm_kernel", "svdd_kernel"))
    for method in (svm, ball):
        method.fit([tiny.faces(80, classes=1)], method.phases()[0])
    return svm, ball


@pytest.mark.parametrize("gamma", ["scale", "median", 0.005])
def test_with_rbf_it_ranks_as_the_one_class_svm_does(gamma) -> None:
    """A theorem: K(x, x) is constant, so the two duals are one."""
    svm, ball = both(gamma)
    faces = tiny.faces(60, seed=3)  # a third of them normal
    one, other = (method.predict(faces)[:, 0].double().numpy() for method in (svm, ball))
    assert spearmanr(one, other).statistic >= 0.999
    alien = (faces.label != 0).numpy()
    assert roc_auc_score(alien, one) == pytest.approx(roc_auc_score(alien, other), abs=1e-3)
    slope, offset = np.polyfit(one, other, 1)
    np.testing.assert_allclose(slope * one + offset, other, atol=1e-5)
    assert slope == pytest.approx(2 / (0.2 * 80), rel=1e-3)


def test_with_rbf_its_weights_are_those_of_the_one_class_svm() -> None:
    svm, ball = both("scale")
    assert torch.equal(svm.expansion.vectors, ball.expansion.vectors)
    normalised = svm.expansion.weights / svm.expansion.weights.sum()
    torch.testing.assert_close(ball.expansion.weights, normalised, rtol=0, atol=1e-6)


def test_with_another_width_it_does_not_rank_alike() -> None:
    svm, ball = both("scale")[0], both("median")[1]
    faces = tiny.faces(60, seed=3)
    assert spearmanr(svm.predict(faces)[:, 0], ball.predict(faces)[:, 0]).statistic < 0.999


@pytest.mark.parametrize("kernel", ["rbf", "poly"])
def test_free_support_vectors_lie_on_the_surface(kernel) -> None:
    method, train = tiny.build("svdd_kernel", kernel=kernel, nu=0.1), tiny.faces(100)
    method.fit([train], FIT)
    score, radius2 = method.predict(train)[:, 0], method.record()["radius2"]
    on_surface = (score / radius2 - 1).abs() < 1e-4
    assert on_surface.sum() >= 2
    assert ((score / radius2 - 1) > 1e-4).float().mean() <= 0.1


@pytest.mark.slow
def test_digits() -> None:
    assert digits.mean_auc("svdd_kernel", input_px=32) >= 0.95  # 0.988
