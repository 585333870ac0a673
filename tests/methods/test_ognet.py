"""OGNet: sizes, the terms by hand, counted updates, and the frozen generators."""

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy

from mien.methods.ognet import OGNet, OGNetConfig, mixed, updates_due
from mien.training.loop import Options, fit
from mien.training.step import step
from tests import digits, tiny

TINY = {
    "input_px": 21, "channels": 4, "batch_size": 8, "old_updates": 1, "generator_updates": 3,
    "discriminator_updates": 2, "old_epochs": 1, "generator_epochs": 2, "discriminator_epochs": 2,
}  # fmt: skip
YOUNG, TRAINED, REFINED = range(3)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def begun(number: int, **changed: object) -> tuple[OGNet, object]:
    method = tiny.build("ognet", **changed)
    phase = method.phases()[number]
    tiny.enter(method, phase)
    return method.train(), phase


def readers(train: int) -> object:
    parts = {"train": tiny.faces(train, classes=1, seed=1), "validation": tiny.faces(6, classes=1, seed=2)}
    return lambda phase, part: tiny.MemoryReader(parts[part])


def update(method: OGNet, phase: object, number: int, faces: object) -> None:
    optimizers = {t: method.optimizer(phase, t) for t in method.turns(phase, 0)}
    for i in range(number):
        step(method, method, replace(faces, seed=faces.seed + i), phase, i, optimizers, nullcontext())


def test_sizes_at_45_px() -> None:
    with torch.device("meta"):
        method = OGNet(OGNetConfig(), ("happy",))
    assert count(method.generator) == 8_609_025
    assert count(method.discriminator) == 4_308_865
    assert method.discriminator[-1].in_features == 4608


def test_shapes_at_45_px() -> None:
    method = OGNet(OGNetConfig(channels=1), ("happy",))
    maps: list[int] = []
    for layer in method.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.register_forward_hook(lambda module, args, out: maps.append(out.shape[-1]))
    rebuilt = method.generator(torch.rand(2, 1, 45, 45))
    assert rebuilt.shape == (2, 1, 45, 45)
    assert method.discriminator(rebuilt).shape == (2, 1)
    assert maps == [41, 37, 33, 29, 33, 37, 41, 45, 23, 12, 6, 3]


def test_pictures_are_mixed_with_one_another() -> None:
    old = torch.tensor([1.0, 2.0, 4.0])[:, None]
    torch.testing.assert_close(mixed(old, 0, ranks=False)[:, 0], torch.tensor([1.5, 3.0, 2.5]))
    torch.testing.assert_close(mixed(old, 1, ranks=False)[:, 0], torch.tensor([2.5, 1.5, 3.0]))
    assert torch.equal(mixed(old, 2, ranks=False), mixed(old, 0, ranks=False))  # never with itself
    assert torch.equal(mixed(old[:1], 3, ranks=True), old[:1])


def mixed_share() -> torch.Tensor:
    rank = torch.distributed.get_rank()
    return mixed(torch.tensor([[1.0, 2.0], [4.0, 8.0]])[rank][:, None], 1, ranks=True)


def test_partners_come_from_all_ranks(two_ranks) -> None:
    whole = mixed(torch.tensor([1.0, 2.0, 4.0, 8.0])[:, None], 1, ranks=False)
    assert torch.equal(torch.cat(two_ranks(mixed_share)), whole)


@pytest.mark.parametrize(("wanted", "calls"), [(75, 20), (75, 75), (75, 400), (1, 9), (100, 1)])
def test_updates_are_spread_and_add_up(wanted: int, calls: int) -> None:
    due = [updates_due(wanted, calls, call) for call in range(calls)]
    assert sum(due) == wanted
    assert max(due) - min(due) <= 1
    assert due[0] >= 1


@pytest.mark.parametrize("faces", [184, 64, 1000])
def test_a_class_of_any_size_gets_its_75_updates_of_the_discriminator(faces: int) -> None:
    method = OGNet(OGNetConfig(channels=1), ("happy",))
    method.faces.fill_(faces)
    for phase, wanted in zip(method.phases(), (100, 1400, 75), strict=True):
        steps = faces // phase.batch_size * phase.epochs
        turns = [turn for number in range(steps) for turn in method.turns(phase, number)]
        assert turns.count("discriminator") == wanted
        assert turns.count("generator") == (0 if phase.name == "discriminator" else wanted)


@pytest.mark.parametrize("faces", [9, 60])  # one batch an epoch, and more batches than updates
def test_the_loop_takes_as_many_updates_as_are_set(faces: int) -> None:
    method = tiny.build("ognet", old_updates=3, generator_updates=8, discriminator_updates=3)
    taken: dict[tuple[str, str], int] = {}
    inner = method.forward

    def counted(batch: object, phase: object, turn: str) -> dict[str, torch.Tensor]:
        taken[phase.name, turn] = taken.get((phase.name, turn), 0) + 1
        return inner(batch, phase, turn)

    method.forward = counted
    fit(method, readers(faces), Options())
    assert taken == {
        ("young", "discriminator"): 3,
        ("young", "generator"): 3,
        ("generator", "discriminator"): 5,
        ("generator", "generator"): 5,
        ("discriminator", "discriminator"): 3,
    }
    assert method.record()["faces"] == faces
    assert not hasattr(method, "old_generator")


def test_first_phase_by_hand() -> None:
    method, phase = begun(TRAINED, adversarial_share=0.25, noise=0.0)
    faces = tiny.faces(8)
    clean = method._clean(faces)
    assert clean.shape == (8, 1, 21, 21)
    rebuilt = method.generator(clean)
    wrong, right = method.discriminator(rebuilt).sigmoid(), method.discriminator(clean).sigmoid()
    bad, good = torch.ones_like(wrong), torch.zeros_like(wrong)
    terms = method(faces, phase, "discriminator")
    torch.testing.assert_close(terms["rebuilt_is_bad"], 0.5 * binary_cross_entropy(wrong, bad))
    torch.testing.assert_close(terms["real_is_good"], 0.5 * binary_cross_entropy(right, good))
    terms = method(faces, phase, "generator")
    torch.testing.assert_close(terms["reconstruction"], 0.75 * (rebuilt - clean).square().mean())
    torch.testing.assert_close(terms["deceived"], 0.25 * binary_cross_entropy(wrong, good))


def test_second_phase_by_hand_and_its_weights_sum_to_2() -> None:
    method, phase = begun(REFINED)
    faces = tiny.faces(8)
    for parameter in method.old_generator.parameters():
        parameter.data.mul_(1.2)
    terms = method(faces, phase, "discriminator")
    with torch.no_grad():
        clean = method._clean(faces)
        good, old = method.generator(clean), method.old_generator(clean)
        pseudo = method.generator((old + old.roll(-1, dims=0)) / 2)
        ask = [method.discriminator(x).sigmoid() for x in (good, clean, old, pseudo)]
    bad = (0.0, 0.0, 1.0, 1.0)
    weights = (0.9, 0.1, 0.001, 0.999)
    for name, weight, said, label in zip(terms, weights, ask, bad, strict=True):
        by_hand = weight * binary_cross_entropy(said, torch.full_like(said, label))
        torch.testing.assert_close(terms[name], by_hand, msg=name)
    for parameter in method.discriminator[-1].parameters():
        parameter.data.zero_()  # it then says 1/2 of everything: each term is its weight times log 2
    total = sum(method(faces, phase, "discriminator").values()) / torch.tensor(2.0).log()
    torch.testing.assert_close(total, torch.tensor(2.0))


def test_repeated_updates_of_a_batch_draw_other_noise_and_other_pairs() -> None:
    method, phase = begun(TRAINED)
    first = method(tiny.faces(8), phase, "generator")["reconstruction"]
    assert first != method(tiny.faces(8), phase, "generator")["reconstruction"]
    method, phase = begun(REFINED)
    for network in (method.generator, method.old_generator):
        network.decoder[-2].weight.data.mul_(100)  # untrained, it makes nearly the same of every face
    first = method(tiny.faces(8), phase, "discriminator")["pseudo_is_bad"]
    assert first != method(tiny.faces(8), phase, "discriminator")["pseudo_is_bad"]


def test_the_second_phase_leaves_both_generators_as_they_were_statistics_included() -> None:
    method, phase = begun(REFINED)
    before = {n: t.clone() for n, t in method.state_dict().items() if "generator" in n}
    start = {n: t.clone() for n, t in method.discriminator.state_dict().items()}
    update(method, phase, 5, tiny.faces(8))
    after = {n: t for n, t in method.state_dict().items() if "generator" in n}
    assert any("old_generator" in name and "running_var" in name for name in after)
    assert tiny.same_state(before, after)
    assert not tiny.same_state(start, method.discriminator.state_dict())


def test_the_old_generator_is_the_one_that_ended_the_first_phase() -> None:
    method, phase = begun(YOUNG)
    update(method, phase, 3, tiny.faces(8))
    young = {n: t.clone() for n, t in method.generator.state_dict().items()}
    method.finish(phase)
    update(method, method.phases()[TRAINED], 3, tiny.faces(8))
    assert tiny.same_state(young, method.old_generator.state_dict())
    assert not tiny.same_state(young, method.generator.state_dict())


def test_statistics_move_once_an_update() -> None:
    method, phase = begun(YOUNG)
    update(method, phase, 4, tiny.faces(8))
    assert method.generator.encoder[1].num_batches_tracked == 4
    assert method.discriminator[1].num_batches_tracked == 8  # reconstructions and faces


def test_refined_it_tells_reconstructions_from_pseudo_anomalies() -> None:
    method = tiny.build(
        "ognet", old_updates=5, generator_updates=30, discriminator_updates=20, refining_rate=2e-3
    )
    fit(method, readers(24), Options())
    with torch.no_grad():
        clean = method._clean(tiny.faces(24, classes=1, seed=1))
        old = tiny.build("ognet").eval().generator(clean)  # younger still than the one put by
        good = method.discriminator(method.generator(clean)).sigmoid().mean()
        pseudo = method.discriminator(method.generator(mixed(old, 0, ranks=False))).sigmoid().mean()
    assert good < pseudo - 0.2


def test_a_score_lies_between_0_and_1_and_does_not_saturate() -> None:
    method = tiny.build("ognet").eval()
    method.generator.decoder[-2].weight.data.mul_(100)  # untrained, it makes nearly the same of every face
    method.discriminator[-1].bias.data.fill_(20.0)  # float32 would round every score to 1
    with torch.no_grad():
        score = method.predict(tiny.faces(6))
    assert score.shape == (6, 1)
    assert ((score > 0) & (score < 1)).all()
    assert len(score.unique()) > len(score.float().unique()) == 1


HOME = {
    "input_px": 21, "channels": 4, "batch_size": 24, "old_updates": 8, "generator_updates": 36,
    "discriminator_updates": 14, "old_epochs": 2, "generator_epochs": 7, "discriminator_epochs": 4,
    "discriminator_rate": 0.0003, "refining_rate": 0.0015,
}  # fmt: skip


@pytest.mark.slow
def test_home_ground() -> None:
    assert digits.mean_auc("ognet", **HOME) >= 0.70  # reached 0.884
