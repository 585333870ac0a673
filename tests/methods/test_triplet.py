import torch

from mien.methods.triplet import Triplet
from tests import tiny

TINY = {"width": 0.0625, "dropout": 0.0, "epochs": 1}


def test_the_mean_over_all_triplets_of_squared_distances() -> None:
    method = tiny.build("triplet", margin=2.0)
    assert isinstance(method, Triplet)
    features, label = torch.tensor([[0.0], [1.0], [3.0], [2.0], [7.0]]), torch.tensor([0, 0, 1, 1, -1])
    squared, costs = (features - features.T).square(), []
    for a in range(4):
        for p in (p for p in range(4) if p != a and label[p] == label[a]):
            costs += [
                (squared[a, p] - squared[a, n] + 2).clamp(min=0) for n in range(4) if label[n] != label[a]
            ]
    torch.testing.assert_close(method.metric_loss(features, label, tiny.faces(5)), torch.stack(costs).mean())
    assert len(costs) == 8


def test_distances_grow_with_the_square_of_the_batch() -> None:
    for faces in (6, 12):
        method = tiny.build("triplet")
        method(tiny.faces(faces), method.phases()[0], "all")
        assert (method.evaluations, method.passes) == (faces**2, faces)
