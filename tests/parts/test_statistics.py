import torch
from torch import nn

from mien.parts.statistics import unmoved
from tests.tiny import same_state


def test_statistics_stay_but_a_batch_is_normalised_by_its_own() -> None:
    norm, x = nn.BatchNorm1d(3), torch.randn(16, 3) * 5 + 2
    before = {name: tensor.clone() for name, tensor in norm.state_dict().items()}
    with unmoved(nn.Sequential(norm)):
        out = norm(x)
    assert same_state(norm.state_dict(), before)
    torch.testing.assert_close(out.mean(dim=0), torch.zeros(3), rtol=0, atol=1e-6)
    norm(x)
    assert not same_state(norm.state_dict(), before)


def test_in_eval_mode_the_running_statistics_are_used() -> None:
    norm, x = nn.BatchNorm1d(3).eval(), torch.randn(16, 3)
    with unmoved(norm):
        torch.testing.assert_close(norm(x), x / (1 + 1e-5) ** 0.5)
