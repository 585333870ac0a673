import pytest
import torch
from torch.optim import SGD

from mien.parts.schedule import HalveAndReload, schedule


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


def test_a_cosine_goes_on_where_an_earlier_phase_left_it() -> None:
    moved = optimizer()
    cosine, rates = schedule("cosine", moved, epochs=4, before=2), []
    for _ in range(3):
        rates.append(moved.param_groups[0]["lr"])
        moved.step()
        cosine.step()
    assert rates == pytest.approx([0.5e-2, 0.14644661e-2, 0.0], abs=1e-9)


def test_constant_is_no_schedule() -> None:
    assert schedule("constant", optimizer(), epochs=4) is None


def told(loss: float, accuracy: float) -> dict[str, float]:
    return {"train_loss": loss, "validation_accuracy": accuracy}


def test_the_rate_is_halved_when_the_loss_rises_by_over_a_quarter() -> None:
    moved = optimizer()
    plan = HalveAndReload(moved, patience_epochs=10)
    assert [plan.step(told(loss, 0.1 * i)) for i, loss in enumerate((1.0, 1.249, 1.0, 1.251))] == [
        False,
        False,
        False,
        True,
    ]
    assert moved.param_groups[0]["lr"] == pytest.approx(5e-3)
    assert not plan.step(told(9.0, 0.9))  # after a reload there is no epoch before


def test_the_rate_is_halved_after_ten_flat_epochs_and_momentum_is_forgotten() -> None:
    moved = optimizer()
    moved.param_groups[0]["params"][0].grad = torch.ones(1)
    moved.param_groups[0]["momentum"] = 0.9
    moved.step()
    assert moved.state
    plan = HalveAndReload(moved, patience_epochs=10)
    assert not plan.step(told(1.0, 0.5))
    assert [plan.step(told(1.0, 0.5)) for _ in range(10)] == [False] * 9 + [True]
    assert not moved.state
    assert [plan.step(told(1.0, 0.5)) for _ in range(9)] == [False] * 9
    again = HalveAndReload(moved, patience_epochs=10)
    again.load_state_dict(plan.state_dict())
    assert again.step(told(1.0, 0.5))
    assert moved.param_groups[0]["lr"] == pytest.approx(2.5e-3)
