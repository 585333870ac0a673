import pytest
import torch
from torch.optim import SGD

from mien.parts.schedule import schedule


def optimizer() -> SGD:
    return SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-2)


def test_a_plateau_divides_by_ten_after_its_patience() -> None:
    moved = optimizer()
    plateau = schedule("plateau", moved, epochs=500, patience_epochs=20)
    rates = []
    for _ in range(45):
        rates.append(moved.param_groups[0]["lr"])
        plateau.step(1.0)
    rates.append(moved.param_groups[0]["lr"])
    assert rates[21] == pytest.approx(1e-2)  # after 21 steps
    assert rates[22] == pytest.approx(1e-3)
    assert rates[42] == pytest.approx(1e-3)
    assert rates[43] == pytest.approx(1e-4)


def test_half_a_cosine_ends_at_nought() -> None:
    moved = optimizer()
    cosine, rates = schedule("cosine", moved, epochs=4), []
    for _ in range(5):
        rates.append(moved.param_groups[0]["lr"])
        moved.step()
        cosine.step()
    assert rates == pytest.approx([1e-2, 0.85355339e-2, 0.5e-2, 0.14644661e-2, 0.0], abs=1e-9)


def test_constant_is_no_schedule() -> None:
    assert schedule("constant", optimizer(), epochs=4) is None
