import torch

from mien.methods.coupled_clusters import coupled_clusters_loss
from tests import tiny

TINY = {"width": 0.0625, "dropout": 0.0, "epochs": 1, "margin": 10.0, "metric_weight": 0.2}


def test_by_hand() -> None:
    features, label = torch.tensor([[0.0], [2.0], [4.0], [6.0], [1.0]]), torch.tensor([0, 0, 1, 1, -1])
    centres = torch.tensor([[1.0], [5.0], [0.0]])
    # own faces are 1 from their centres, the nearest other 9; the face of no class is none of them
    found = coupled_clusters_loss(features, label, centres, margin=10.0)
    torch.testing.assert_close(found, torch.tensor(4 * (1 + 10 - 9) / 2 / 4))
    assert coupled_clusters_loss(features, label, centres, margin=8.0).item() == 0


def test_a_batch_of_one_class_has_no_other_face_and_costs_nothing() -> None:
    features = torch.ones(3, 2, requires_grad=True)
    found = coupled_clusters_loss(features, torch.zeros(3, dtype=torch.long), torch.zeros(1, 2), margin=2.0)
    found.backward()
    assert found.item() == 0


def test_distances_are_of_every_face_to_every_centre() -> None:
    method = tiny.build("coupled_clusters")
    method(tiny.faces(6), method.phases()[0], "all")
    assert method.evaluations == 6 * 3
