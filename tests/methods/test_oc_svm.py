import numpy as np
import pytest
import torch
from sklearn.svm import OneClassSVM

from mien.parts.vectors import contrast_vectors
from tests import digits, tiny

TINY = {"input_px": 8}
FIT = tiny.build("oc_svm").phases()[0]


def test_it_scores_as_scikit_learn_does() -> None:
    method, train, test = tiny.build("oc_svm"), tiny.faces(30, seed=1), tiny.faces(12, seed=2)
    method.fit([train.select(range(20)), train.select(range(20, 30))], FIT)
    own, others = (contrast_vectors(f.faces, 8).double().numpy() for f in (train, test))
    low, span = own.min(), own.max() - own.min()
    svm = OneClassSVM(kernel="precomputed", nu=0.1, tol=1e-6)
    own, others = (own - low) / span, (others - low) / span
    svm.fit(own @ own.T)
    expected = torch.from_numpy(-svm.decision_function(others @ own.T)).float()
    torch.testing.assert_close(method.predict(test)[:, 0], expected, rtol=0, atol=1e-4)


def test_nu_bounds_what_is_rejected_and_what_supports() -> None:
    method, train = tiny.build("oc_svm", nu=0.2), tiny.faces(100)
    method.fit([train], FIT)
    score = method.predict(train)[:, 0]
    assert (score > 1e-4).float().mean() <= 0.2 + 1e-6  # the free ones lie within the tolerance of 0
    record = method.record()
    assert record["faces"] == 100
    assert record["support_vectors"] >= 20


def test_centring_would_spoil_it() -> None:
    """A plane between the origin and the cloud needs a cloud off the origin, so pixels stay in [0, 1]."""
    away = np.random.default_rng(0).uniform(size=(400, 5))
    rejected = [
        float((OneClassSVM(kernel="linear", nu=0.1).fit(x).decision_function(x) < -1e-6).mean())
        for x in (away, away - away.mean(axis=0))
    ]
    assert rejected[0] <= 0.1 + 1 / 400
    assert rejected[1] > 0.2


@pytest.mark.slow
def test_digits() -> None:
    assert digits.mean_auc("oc_svm", input_px=32) >= 0.95  # 0.970
