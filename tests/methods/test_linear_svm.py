from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from mien.config import MienError
from mien.methods.linear_svm import eye_aligned, grey_pixels
from tests import tiny

TINY = {"input_px": 8}
FIT = tiny.build("linear_svm").phases()[0]


def test_it_decides_as_scikit_learn_does() -> None:
    method, train, test = tiny.build("linear_svm"), tiny.faces(30, seed=1), tiny.faces(12, seed=2)
    method.fit([train.select(range(20)), train.select(range(20, 30))], FIT)
    svm = make_pipeline(StandardScaler(), LinearSVC(C=0.01, dual="auto", random_state=0, max_iter=5000))
    svm.fit(grey_pixels(train.faces, 8).flatten(1).double().numpy(), train.label.numpy())
    decisions = torch.from_numpy(
        svm.decision_function(grey_pixels(test.faces, 8).flatten(1).double().numpy())
    )
    # float32 against float64, and the small constant that keeps constant pixels from dividing by nought
    torch.testing.assert_close(method.predict(test), decisions.softmax(dim=1).float(), rtol=0, atol=1e-4)


def test_two_classes_have_two_opposite_rows() -> None:
    method, faces = tiny.build("linear_svm", classes=("neutral", "happy")), tiny.faces(16, classes=2)
    method.fit([faces], FIT)
    assert torch.equal(method.weight[0], -method.weight[1])
    assert method.predict(faces).argmax(dim=1).tolist() == faces.label.tolist()


def test_landmarks_are_enough_where_shapes_differ() -> None:
    method = tiny.build("linear_svm", features="landmarks")
    assert method.needs == {"label", "points"}
    method.fit([tiny.faces(30, seed=1)], FIT)
    test = tiny.faces(12, seed=2)
    assert method.predict(test).argmax(dim=1).tolist() == test.label.tolist()


def test_edge_histograms_are_not_standardised_and_feel_no_lamp() -> None:
    method = tiny.build("linear_svm", features="hog", input_px=32, cell_px=8)
    method.fit([tiny.faces(30, seed=1)], FIT)
    test = tiny.faces(12, seed=2)
    assert method.predict(test).argmax(dim=1).tolist() == test.label.tolist()
    assert method.weight.shape == (3, 4 * 9 * 9)
    assert not method.mean.any()
    assert (method.spread == 1).all()
    darker = replace(test, faces=(test.faces // 2))
    torch.testing.assert_close(method.predict(darker), method.predict(test), rtol=0, atol=0.01)


def test_a_picture_too_small_for_its_cells_is_named() -> None:
    with pytest.raises(MienError, match=r"methods\.linear_svm\.input_px: 8 holds no block .* at least 16"):
        tiny.build("linear_svm", features="hog", input_px=8)


def test_eye_aligned_does_not_feel_move_turn_and_scale() -> None:
    points = torch.from_numpy(np.random.default_rng(0).uniform(20, 90, (3, 68, 2)))
    turn = torch.tensor([[0.8, -0.6], [0.6, 0.8]], dtype=torch.float64)
    torch.testing.assert_close(eye_aligned(2.5 * points @ turn.T + 7), eye_aligned(points), rtol=0, atol=1e-9)
    x, y = eye_aligned(points).view(3, 2, 68).unbind(dim=1)
    torch.testing.assert_close(x[:, 36:42].mean(dim=1), torch.full((3,), -0.5, dtype=torch.float64))
    torch.testing.assert_close(x[:, 42:48].mean(dim=1), torch.full((3,), 0.5, dtype=torch.float64))
    assert y[:, 36:48].mean(dim=1).abs().max() < 1e-9


def test_eyes_in_one_place_give_no_nan() -> None:
    assert eye_aligned(torch.ones(1, 68, 2)).isfinite().all()


def test_grey_by_hand() -> None:
    red = torch.zeros((1, 3, 4, 4), dtype=torch.uint8)
    red[:, 0] = 255
    torch.testing.assert_close(
        grey_pixels(red, 4), torch.full((1, 4, 4), 0.299, dtype=torch.float64), rtol=0, atol=1e-6
    )


def test_a_class_without_faces_is_named() -> None:
    with pytest.raises(MienError, match="no training face shows sad"):
        tiny.build("linear_svm").fit([tiny.faces(8, classes=2)], FIT)


def test_missing_points_are_named() -> None:
    method = tiny.build("linear_svm", features="landmarks")
    faces = tiny.faces(6)
    with pytest.raises(MienError, match="68 points"):
        method.predict(type(faces)(faces.keys, faces.faces, faces.label, faces.seed))
