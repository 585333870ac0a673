import torch

from mien.methods.center import center_loss
from tests import tiny

TINY = {"width": 0.0625, "dropout": 0.0, "epochs": 1}


def test_by_hand() -> None:
    features, label = torch.tensor([[3.0, 4.0], [1.0, 1.0], [9.0, 9.0]]), torch.tensor([0, 1, -1])
    centers = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    torch.testing.assert_close(center_loss(features, label, centers), torch.tensor((12.5 + 0.5) / 2))


def test_a_step_takes_a_centre_half_the_way_to_the_mean_of_its_faces() -> None:
    method = tiny.build("center", clip_norm=1e9)
    (phase,) = method.phases()
    optimizer, faces = method.optimizer(phase, "all"), tiny.faces(6)
    features = method.network(method.eval().pictures(faces))[1].detach()
    method(faces, phase, "all")["metric"].backward()
    optimizer.step()
    expected = torch.stack([features[faces.label == c].mean(dim=0) for c in range(3)]) / 2
    torch.testing.assert_close(method.centers.detach(), expected, rtol=1e-3, atol=1e-3)
    assert method.evaluations == 6
