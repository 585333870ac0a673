import math

import pytest
import torch

from mien.parts.frontal import aligned, crop, lit_alike
from mien.parts.metric_learning import whole_cross_entropy
from tests import tiny


def test_faces_of_no_class_count_in_no_mean() -> None:
    logits = torch.tensor([[0.0, 0.0], [2.0, 0.0], [5.0, 9.0]])
    found = whole_cross_entropy(logits, torch.tensor([1, 0, -1]))
    torch.testing.assert_close(found, torch.tensor((math.log(2) + math.log1p(math.exp(-2))) / 2))


def test_training_draws_one_of_ten_crops_by_the_faces_seed_and_a_test_sees_the_middle() -> None:
    method, faces = tiny.build("center"), tiny.faces(6)
    assert faces.points is not None
    middle = lit_alike(crop(aligned(faces.faces, faces.points)))
    torch.testing.assert_close(method.eval().pictures(faces), middle)
    drawn = method.train().pictures(faces)
    torch.testing.assert_close(drawn, method.pictures(faces))
    assert not torch.allclose(drawn, middle)


def test_aligned_faces_are_answered_as_crops_are() -> None:
    method, faces = tiny.build("center").eval(), tiny.faces(4)
    assert faces.points is not None
    asked = method.probabilities(aligned(faces.faces, faces.points))
    torch.testing.assert_close(asked, method.predict(faces))


def test_a_gradient_is_cut_to_the_norm_of_the_settings() -> None:
    method = tiny.build("triplet", clip_norm=0.5, learning_rate=1.0, momentum=0.0, weight_decay=0.0)
    optimizer = method.optimizer(method.phases()[0], "all")
    before = [p.detach().clone() for p in method.parameters()]
    for p in method.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()
    moved = sum((a - b).square().sum() for a, b in zip(before, method.parameters(), strict=True))
    assert float(moved) ** 0.5 == pytest.approx(0.5, rel=1e-3)
