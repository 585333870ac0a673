"""What SNA counts, by hand, and the same over two ranks."""

import pytest
import torch
from torch import nn

from mien.parts.sna_tally import Held, Tally, peak_ratio, slope_energy


def test_keep_rates_and_flips_by_hand() -> None:
    tally = Tally(3)
    div, label = torch.tensor([0.1, 0.4, 0.2, 0.4]), torch.tensor([0, 0, 1, 1])
    tally.count(div, torch.tensor([1.0, 0.0, 1.0, 0.0]), label, torch.tensor([0.0, 1.0, 1.0, 0.0]))
    told = tally.figures(("a", "b", "c"))
    assert (told["keep_rate"], told["keep_rate_a"], told["keep_rate_b"]) == (0.5, 0.5, 0.5)
    assert "keep_rate_c" not in told  # nobody was seen
    assert told["divergence_in_training"] == pytest.approx(0.275)
    assert told["flips_auc"] == pytest.approx(
        (1 + 0.5 + 1 + 0) / 4
    )  # .4 over .1, .4 ties .4; .2 over .1, under .4
    assert told["flips_keep_rate"] == 0.5
    tally.count(div, torch.zeros(4), label, torch.zeros(4))
    assert tally.figures(("a", "b", "c"))["masked_steps"] == 1
    tally.new_epoch()
    assert tally.figures(("a", "b", "c")) == {}
    assert tally.flips()["flips_auc"] == pytest.approx(0.625)  # the phase remembers


def test_an_honest_phase_tells_nothing_of_flips() -> None:
    tally = Tally(2)
    tally.count(torch.rand(4), torch.ones(4), torch.tensor([0, 1, 0, 1]), torch.zeros(4))
    assert tally.flips() == {}


def pushing(*gradient: float) -> list[nn.Parameter]:
    """Parameters with a gradient, and one without."""
    moved = [nn.Parameter(torch.zeros(1)) for _ in range(len(gradient) + 1)]
    for parameter, value in zip(moved, gradient, strict=False):
        parameter.grad = torch.full((1,), value)
    return moved


def test_the_critics_answers_and_both_gradients_are_means_over_their_own_steps() -> None:
    tally = Tally(2)
    tally.judged(torch.tensor([1.0, 3.0]), torch.tensor([-1.0, -2.0]))
    tally.pushed("critic", pushing(3.0, 4.0))
    tally.judged(torch.tensor([4.0, 4.0]), torch.tensor([0.0, 0.0]))
    tally.pushed("critic", pushing(1.0))
    assert tally.figures(("a", "b")) == {}  # no step of the generator yet
    for size in (2.0, 6.0, 7.0):
        tally.pushed("generator", pushing(size))
    answers = {"critic_real": 3.0, "critic_fake": -0.75, "critic_size": (7 / 4 + 8 / 4) / 2}
    assert tally.figures(("a", "b")) == answers | {"critic_gradient": 3.0, "generator_gradient": 5.0}


def test_psnr_and_sharpness_by_hand() -> None:
    x = torch.zeros(2, 1, 4, 4)
    assert peak_ratio(x, x + 0.2).tolist() == pytest.approx([20.0, 20.0], abs=1e-4)  # 4 / 0.04 = 100
    stripes = torch.tensor([0.0, 1.0, 0.0, 1.0]).expand(1, 1, 4, 4)
    assert slope_energy(stripes).item() == 1
    assert slope_energy(x).tolist() == [0, 0]


def share_of_this_rank() -> dict[str, float]:
    held = Held()
    if torch.distributed.get_rank() == 0:
        held.hold(psnr=torch.tensor([1.0, 2.0]))
    else:
        held.hold(psnr=torch.tensor([6.0]), divergence=torch.tensor([0.5]))
    return held.told(torch.device("cpu"))


def test_held_out_means_are_over_the_faces_of_all_ranks(two_ranks) -> None:
    for told in two_ranks(share_of_this_rank):
        assert told == {"validation_psnr": 3.0, "validation_divergence": 0.5}
