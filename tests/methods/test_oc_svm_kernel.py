import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.svm import OneClassSVM

from mien.parts.vectors import contrast_vectors
from tests import digits, tiny

TINY = {"input_px": 8}
FIT = tiny.build("oc_svm_kernel").phases()[0]


def test_it_scores_as_scikit_learn_does_on_a_gram() -> None:
    method, train, test = tiny.build("oc_svm_kernel"), tiny.faces(40, seed=1), tiny.faces(12, seed=2)
    method.fit([train], FIT)
    own, others = (method.project(contrast_vectors(f.faces, 8)).double().numpy() for f in (train, test))
    gamma = 1 / (own.shape[1] * own.var())
    svm = OneClassSVM(kernel="precomputed", nu=0.1, tol=1e-8).fit(rbf_kernel(own, own, gamma))
    expected = torch.from_numpy(-svm.decision_function(rbf_kernel(others, own, gamma))).float()
    torch.testing.assert_close(method.predict(test)[:, 0], expected, rtol=0, atol=1e-4)


def test_weights_sum_to_nu_n_and_nu_lies_between_bound_and_support() -> None:
    method, train = tiny.build("oc_svm_kernel", nu=0.1), tiny.faces(200)
    method.fit([train], FIT)
    weights = method.expansion.weights
    assert float(weights.sum()) == pytest.approx(0.1 * 200, rel=1e-5)
    at_bound = (weights > 1 - 1e-6).float().sum() / 200
    assert at_bound <= 0.1 <= len(weights) / 200


def test_a_shift_of_all_data_changes_nothing() -> None:
    cloud = np.random.default_rng(0).normal(size=(100, 6))
    here, there = (
        OneClassSVM(nu=0.1, gamma=0.1, tol=1e-8).fit(x).score_samples(x) for x in (cloud, cloud + 5)
    )
    np.testing.assert_allclose(here, there, atol=1e-6)
    linear = [OneClassSVM(kernel="linear", nu=0.1).fit(x) for x in (cloud, cloud + 5)]
    assert not np.allclose(
        linear[0].decision_function(cloud), linear[1].decision_function(cloud + 5), atol=0.1
    )


def test_the_record_tells_the_width_in_use() -> None:
    method = tiny.build("oc_svm_kernel", gamma=0.01)
    method.fit([tiny.faces(30)], FIT)
    assert method.record()["gamma"] == pytest.approx(0.01)
    assert method.record()["components"] == len(method.project.components) > 1


@pytest.mark.slow
def test_digits() -> None:
    assert digits.mean_auc("oc_svm_kernel", input_px=32) >= 0.95  # 0.970
