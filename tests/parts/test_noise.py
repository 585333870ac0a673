import pytest
import torch

from mien.parts.augment import uniform
from mien.parts.noise import apart, normal, normal_like

SEEDS = torch.tensor([3, -5, 2**62, 0, 77])


def test_mean_spread_and_tails_are_the_normal_ones() -> None:
    drawn = normal(torch.arange(200), 2001).double().flatten()  # 400,200 numbers
    assert drawn.mean().abs() < 4 / 400_200**0.5
    assert drawn.std() == pytest.approx(1, abs=4 / (2 * 400_200) ** 0.5)
    assert (drawn.abs() > 1.959964).double().mean() == pytest.approx(0.05, abs=0.0014)  # 4 standard errors
    assert drawn.pow(4).mean() == pytest.approx(3, abs=4 * (96 / 400_200) ** 0.5)


def test_box_and_muller_by_hand() -> None:
    u = uniform(torch.tensor([9]), 2)[0].double()
    radius = (-2 * (1 - u[0]).log()).sqrt()
    expected = radius * torch.tensor([(2 * torch.pi * u[1]).cos(), (2 * torch.pi * u[1]).sin()])
    torch.testing.assert_close(normal(torch.tensor([9]), 2)[0].double(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_a_row_depends_on_its_seed_alone(count: int) -> None:
    whole = normal(SEEDS, count)
    assert whole.shape == (5, count)
    for row, seed in enumerate(SEEDS):
        assert torch.equal(normal(seed[None], count)[0], whole[row])
    assert len(whole[:, 0].unique()) == 5


def test_the_halves_of_a_pair_are_not_related() -> None:
    one, other = normal(torch.arange(50_000), 2).double().unbind(dim=1)
    assert (one * other).mean().abs() < 4 / 50_000**0.5
    assert (one.square() * other.square()).mean() == pytest.approx(1, abs=4 * (8 / 50_000) ** 0.5)


def test_uses_draw_apart() -> None:
    drawn = torch.stack([normal(apart(SEEDS, use), 400).flatten() for use in range(5)])
    assert torch.equal(drawn[0], normal(SEEDS, 400).flatten())
    assert (torch.corrcoef(drawn) - torch.eye(5)).abs().max() < 4.5 / 2000**0.5


def test_noise_has_the_shape_of_the_pictures() -> None:
    noise = normal_like(torch.zeros(5, 3, 4, 6), SEEDS)
    assert noise.shape == (5, 3, 4, 6)
    assert torch.equal(noise[2].flatten(), normal(SEEDS, 72)[2])
