"""SNA's mask by hand."""

import pytest
import torch

from mien.parts.sna_mask import smallest, trusted


def test_the_batch_threshold_is_the_mean_and_the_comparison_is_strict() -> None:
    div = torch.tensor([0.1, 0.2, 0.3, 0.4])
    assert div.mean().item() == pytest.approx(0.25)
    assert trusted(div, div.mean()).tolist() == [1, 1, 0, 0]
    alike = torch.full((4,), 0.5)
    assert trusted(alike, alike.mean()).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(("draw", "share"), [("exponential", 0.629), ("chi2", 0.678)])
def test_the_batch_threshold_always_rejects_someone_and_keeps_the_share_of_the_specification(draw, share):
    random = torch.Generator().manual_seed(0)
    flat = torch.rand((20_000, 63), generator=random, dtype=torch.float64)
    div = -flat.log() if draw == "exponential" else torch.special.ndtri(flat).square()
    keep = trusted(div, div.mean(dim=1, keepdim=True))
    assert (keep.sum(dim=1) < 63).all()
    assert keep.mean().item() == pytest.approx(share, abs=0.001)  # 1.26 million draws: 0.0004 a deviation


def test_smallest_keeps_as_many_as_are_asked_for() -> None:
    assert smallest(torch.tensor([3.0, 1.0, 2.0, 5.0]), 2).tolist() == [0, 1, 1, 0]
    assert smallest(torch.tensor([3.0, 1.0]), 0).tolist() == [0, 0]
