"""Center loss: its two rules by hand, and weight 0 is plain softmax."""

import torch

from mien.methods.center_loss import moved, pull
from tests import tiny

TINY = {
    "width": 0.125,
    "input_px": 32,
    "batch_size": 8,
    "epochs": 2,
    "learning_rate": 0.02,
    "augmentation": {"rotation_degrees": 0.0, "flip": 0.0},
}
FEATURES = torch.tensor([[2.0, 0.0], [4.0, 0.0], [0.0, 3.0]])
LABEL = torch.tensor([0, 0, 2])


def test_pull_by_hand() -> None:
    torch.testing.assert_close(pull(FEATURES, torch.zeros(3, 2), LABEL), torch.tensor((4 + 16 + 9) / 6))
    centers = torch.tensor([[3.0, 0.0], [7.0, 7.0], [0.0, 3.0]])
    torch.testing.assert_close(pull(FEATURES, centers, LABEL), torch.tensor((1 + 1 + 0) / 6))


def test_centres_move_by_their_own_rule() -> None:
    after = moved(FEATURES, torch.zeros(3, 2), LABEL, 0.5)
    torch.testing.assert_close(
        after, torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 0.75]])
    )  # .5 * 6 / 3, .5 * 3 / 2


def test_centres_follow_training_and_stand_still_in_validation() -> None:
    method = tiny.build("center_loss")
    (phase,) = method.phases()
    tiny.enter(method, phase)
    method.eval().validate(tiny.faces(6), phase)
    assert not method.centers.any()
    method.train()(tiny.faces(6), phase, "all")
    assert method.centers.any(dim=1).all()


def test_without_weight_it_is_softmax() -> None:
    method = tiny.build("center_loss", center_weight=0.0)
    (phase,) = method.phases()
    terms = method.train()(tiny.faces(6), phase, "all")
    assert float(terms["center"].detach()) == 0.0
