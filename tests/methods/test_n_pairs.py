import torch

from tests import tiny

TINY = {"width": 0.0625, "dropout": 0.0, "epochs": 1, "metric_weight": 0.1}


def test_it_is_the_tuplet_loss_over_all_negatives_at_once() -> None:
    method = tiny.build("n_pairs")
    f = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    label, costs = torch.tensor([0, 0, 1, 1, -1]), []
    for a, p in ((0, 1), (1, 0), (2, 3), (3, 2)):
        others = [n for n in range(4) if label[n] != label[a]]
        costs.append(torch.stack([(f[a] @ (f[n] - f[p])).exp() for n in others]).sum().log1p())
    found = method.metric_loss(f, label, tiny.faces(5))
    torch.testing.assert_close(found, torch.stack(costs).mean(), rtol=1e-4, atol=1e-5)
    assert method.evaluations == 16
