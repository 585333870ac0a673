"""`fit`: phases in order, the best kept, and a resumed run that is the unbroken one."""

import math
from dataclasses import replace

import pytest
import torch

from mien import methods
from mien.config import MienError
from mien.methods.contract import Method
from mien.training.loop import EpochEnd, Options, fit
from mien.training.state import State, read_state, write_state
from tests import tiny


def fitted(name: str, **arguments) -> tuple[Method, list[EpochEnd]]:
    method = tiny.build(name)
    return method, fit(method, tiny.readers(), Options(seed=3), **arguments)


@pytest.fixture(scope="module")
def unbroken() -> dict[str, tuple[Method, list[EpochEnd]]]:
    return {}


def whole_run(name: str, cache: dict) -> tuple[Method, list[EpochEnd]]:
    if name not in cache:
        cache[name] = fitted(name)
    return cache[name]


class Killed(Exception):
    """Stands for the end of a process."""


@pytest.mark.parametrize("name", methods.names())
@pytest.mark.parametrize("when", ["in the middle of an epoch", "between phases or epochs"])
def test_a_resumed_run_is_the_unbroken_one_to_the_bit(name: str, when: str, unbroken, tmp_path) -> None:
    method, ends = whole_run(name, unbroken)
    if when == "in the middle of an epoch" and not tiny.gradient_phases(method):
        pytest.skip("it takes no steps")
    seen = 0

    def stop(_: object, state) -> None:
        nonlocal seen
        seen += 1
        if seen == (3 if when == "in the middle of an epoch" else max(1, len(ends) - 2)):
            write_state(state(), tmp_path / "state.pt")
            raise Killed

    with pytest.raises(Killed):
        fitted(name, **{"after_step" if "middle" in when else "after_epoch": stop})
    torch.manual_seed(12345)  # a new process starts elsewhere
    again, rest = fitted(name, resume=read_state(tmp_path / "state.pt"))
    assert tiny.same_state(method.state_dict(), again.state_dict())
    assert [plain(end) for end in rest] == [plain(end) for end in ends[len(ends) - len(rest) :]]


def plain(end: EpochEnd) -> tuple:
    return end.phase, end.epoch, {n: v for n, v in end.values.items() if n != "faces_per_second"}


def test_two_runs_with_one_seed_are_equal_and_seeds_differ(unbroken) -> None:
    method, _ = whole_run("resnet18", unbroken)
    assert tiny.same_state(method.state_dict(), fitted("resnet18")[0].state_dict())
    other = tiny.build("resnet18")
    fit(other, tiny.readers(), Options(seed=4))
    assert not tiny.same_state(method.state_dict(), other.state_dict())


def test_each_epoch_of_each_phase_is_told_once_and_the_last_is_marked(unbroken) -> None:
    _, ends = whole_run("hsnet", unbroken)
    told = [(end.phase, end.phase_number, end.epoch, end.epochs, end.last) for end in ends]
    assert told == [
        ("knowledge_transfer", 0, 0, 2, False),
        ("knowledge_transfer", 0, 1, 2, False),
        ("classification", 1, 0, 3, False),
        ("classification", 1, 1, 3, False),
        ("classification", 1, 2, 3, True),
    ]
    for end in ends:
        assert {"train_loss", "train_cross_entropy", "validation_loss", "learning_rate"} <= end.values.keys()
        assert {"validation_accuracy", "validation_mean_accuracy"} <= end.values.keys()
        assert all(math.isfinite(value) for value in end.values.values())


def test_the_weights_of_the_lowest_validation_loss_are_kept() -> None:
    kept: dict[int, State] = {}

    def keep(end: EpochEnd, state) -> None:
        kept[end.epoch] = {n: v.clone() for n, v in state()["model"].items()}

    parts = {"train": tiny.faces(20, seed=1), "validation": tiny.faces(9, seed=2)}
    wrong = replace(
        parts["validation"], label=(parts["validation"].label + 1) % 3
    )  # the more it learns, the worse
    parts["validation"] = wrong
    method = tiny.build("resnet18", schedule="constant", epochs=4)
    ends = fit(method, lambda phase, part: tiny.MemoryReader(parts[part]), Options(), after_epoch=keep)
    losses = [end.values["validation_loss"] for end in ends]
    best = losses.index(min(losses))
    assert best != len(losses) - 1, "the last epoch is the best: this run shows nothing"
    assert tiny.same_state(method.state_dict(), kept[best])


def test_only_what_a_phase_moves_needs_gradients() -> None:
    method = tiny.build("hsnet")
    seen = {}

    def note(step: int, state) -> None:
        seen[method.recognition is None] = {n for n, p in method.named_parameters() if p.requires_grad}

    fit(method, tiny.readers(), Options(), after_step=note)
    assert {name.split(".")[0] for name in seen[False]} == {"stem", "recognition"}
    assert {name.split(".")[0] for name in seen[True]} == {"trunk", "head"}


def test_a_loss_that_is_not_finite_stops_the_run_by_name() -> None:
    method = tiny.build("resnet18")
    torch.nn.init.constant_(method.network.fc.bias, float("inf"))
    words = "ResNet18 diverged in phase classification, step 0: its loss term cross_entropy is not finite"
    with pytest.raises(MienError, match=words):
        fit(method, tiny.readers(), Options())


def test_too_few_faces_for_a_batch_are_counted() -> None:
    with pytest.raises(MienError, match="takes batches of 8, but its training part has 6 faces"):
        fit(tiny.build("resnet18"), tiny.readers(train=6), Options())


def test_wrap_sees_the_method_at_the_start_of_each_phase() -> None:
    seen = []

    def wrap(method: Method) -> Method:
        seen.append(sum(p.numel() for p in method.parameters() if p.requires_grad))
        return method

    fit(tiny.build("hsnet"), tiny.readers(), Options(), wrap=wrap)
    assert len(seen) == 2
    assert seen[0] != seen[1]


def test_bf16_trains_and_stays_near_float32(unbroken) -> None:
    method = tiny.build("resnet18")
    ends = fit(method, tiny.readers(), Options(seed=3, precision="bf16"))
    expected = whole_run("resnet18", unbroken)[1][0].values["train_loss"]
    assert ends[0].values["train_loss"] == pytest.approx(expected, rel=0.25)  # 8 bits of mantissa, two steps
    assert ends[0].values["train_loss"] != expected
    assert method.network.fc.weight.dtype == torch.float32


def test_a_checkpoint_that_is_none_is_named(tmp_path) -> None:
    (tmp_path / "torn.pt").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(MienError, match=r"torn\.pt is not a readable checkpoint"):
        read_state(tmp_path / "torn.pt")
    torch.save({"format": 0}, tmp_path / "old.pt")
    with pytest.raises(MienError, match=r"old\.pt is a checkpoint of another version"):
        read_state(tmp_path / "old.pt")


def distributed_fit(name: str) -> tuple[dict, list]:
    """A whole fit on this rank, its share of each batch."""
    from torch.nn.parallel import DistributedDataParallel

    method = tiny.build(name)
    ends = fit(method, tiny.readers(), Options(seed=3), wrap=DistributedDataParallel)
    return method.state_dict(), [plain(end) for end in ends]


def test_two_ranks_end_with_the_same_weights_and_tell_the_same(two_ranks) -> None:
    (first, ends), (second, other) = two_ranks(distributed_fit, "hsnet")
    assert tiny.same_state(first, second)
    assert ends == other
    assert len(ends) == 5


def test_a_batch_that_ranks_cannot_share_is_refused(two_ranks) -> None:
    for words in two_ranks(refused):
        assert "the batch of 7 in phase classification cannot be shared by 2 workers" in words


def refused() -> str:
    with pytest.raises(MienError) as error:
        fit(tiny.build("resnet18", batch_size=7), tiny.readers(), Options())
    return str(error.value)


def test_a_run_that_stands_still_goes_on_from_its_most_accurate_epoch(monkeypatch) -> None:
    due = iter([False, False, True, False])
    monkeypatch.setattr("mien.parts.schedule.HalveAndReload.step", lambda plan, values: next(due))
    seen, accuracy = [], []

    def note(end: EpochEnd, state) -> None:
        seen.append({name: value.clone() for name, value in state()["model"].items()})
        accuracy.append(end.values["validation_accuracy"])

    method = tiny.build("center", epochs=4)
    fit(method, tiny.readers(), Options(seed=3), after_epoch=note)
    best = max(range(3), key=lambda epoch: (accuracy[epoch], -epoch))  # the first of equals
    assert tiny.same_state(seen[2], seen[best])
    assert not tiny.same_state(seen[3], seen[2])
    last = max(range(4), key=lambda epoch: (accuracy[epoch], -epoch))
    assert tiny.same_state(method.state_dict(), seen[last])
