import torch

from tests import tiny

TINY = {"width": 0.0625, "dropout": 0.0, "epochs": 1, "metric_weight": 0.1}


def test_pairs_of_a_class_cost_their_distance_and_others_what_they_lack_to_the_margin() -> None:
    method = tiny.build("contrastive", margin=3.0)
    features, label = torch.tensor([[0.0], [2.0], [1.0], [9.0]]), torch.tensor([0, 0, 1, -1])
    # of a class: 4; of different ones: 3 - 1 and 3 - 1
    found = method.metric_loss(features, label, tiny.faces(4))
    torch.testing.assert_close(found, torch.tensor(4.0 + 2.0))
    assert method.evaluations == 9
