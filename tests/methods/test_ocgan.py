"""OCGAN: sizes, the terms by hand, mining, and which turn moves what."""

import math
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from mien.methods.ocgan import OCGAN, OCGANConfig, mined, sides, told_apart
from mien.parts.noise import apart, normal_like
from mien.training.step import step
from tests import digits, tiny

TINY = {
    "input_px": 29, "channels": 8, "visual_channels": 4, "latent": 6, "dropout": 0.0, "batch_size": 8,
    "epochs": 3, "mining_from_epoch": 0, "learning_rate": 1e-3, "init_spread": None,
}  # fmt: skip


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def begun(**changed: object) -> tuple[OCGAN, list]:
    method = tiny.build("ocgan", **changed)
    phases = tiny.gradient_phases(method)
    tiny.enter(method, phases[0])
    return method.train(), phases


def take_steps(method: OCGAN, number: int, faces: int = 32) -> None:
    phase = method.phases()[0]
    optimizers = {t: method.optimizer(phase, t) for t in method.turns(phase, 0)}
    batch = tiny.faces(faces, classes=1)
    for i in range(number):
        again = replace(batch, seed=batch.seed + i)
        step(method, method, again, phase, i, optimizers, nullcontext())


def test_sizes_at_61_px() -> None:
    with torch.device("meta"):
        method = OCGAN(OCGANConfig(init_spread=None), ("happy",))
    assert count(method.encoder) == 1_132_032
    assert count(method.decoder) == 1_132_099
    assert count(method.visual) == 38_257
    assert count(method.classifier) == 1_036_033
    assert count(method.latent) == 13_057


def test_shapes_from_61_px_to_a_point_and_back() -> None:
    method = OCGAN(OCGANConfig(channels=2, visual_channels=1), ("happy",))
    maps: list[int] = []
    for layer in [*method.encoder.modules(), *method.decoder.modules()]:
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.register_forward_hook(lambda module, args, out: maps.append(out.shape[-1]))
    code = method.encoder(torch.rand(2, 3, 61, 61))
    assert code.shape == (2, 16)
    assert method.decoder(code).shape == (2, 3, 61, 61)
    assert maps == [29, 13, 5, 1, 5, 13, 29, 61]


@pytest.mark.parametrize(("px", "chain"), [(29, [29, 13, 5, 1]), (125, [125, 61, 29, 13, 5, 1])])
def test_other_sides_have_a_stage_fewer_or_more(px: int, chain: list[int]) -> None:
    assert sides(px) == chain
    method = OCGAN(OCGANConfig(input_px=px, channels=2, visual_channels=1), ("happy",))
    assert method.decoder(method.encoder(torch.rand(2, 3, px, px))).shape == (2, 3, px, px)
    with pytest.raises(ValidationError):
        OCGANConfig(input_px=px + 3)


def test_latents_stay_in_the_cube() -> None:
    method, _ = begun()
    method.encoder[0][-2].weight.data.mul_(30)
    code = method.encoder(method._clean(tiny.faces(8)))
    assert code.abs().max() <= 1
    assert code.abs().max() > 0.9


def test_cross_entropy_by_hand() -> None:
    logits = torch.tensor([[0.0], [2.0]])
    real = (math.log(2) + math.log1p(math.exp(-2))) / 2
    fake = (math.log(2) + math.log1p(math.exp(2))) / 2
    torch.testing.assert_close(told_apart(logits, real=True), torch.tensor(real))
    torch.testing.assert_close(told_apart(logits, real=False), torch.tensor(fake))


def test_mining_by_hand() -> None:
    start = torch.tensor([[0.3, -0.2], [0.0, 0.9]])
    expected = start.clone()
    for row in range(2):  # logit z0 + 2 z1 of z = tanh(u); d log(1 + e^l) / du = sigmoid(l) w (1 - z^2)
        z = start[row].tanh()
        slope = torch.sigmoid(z[0] + 2 * z[1]) * torch.tensor([1.0, 2.0]) * (1 - z.square())
        expected[row] -= 0.5 * slope
    found = mined(start, lambda z: z @ torch.tensor([[1.0], [2.0]]), steps=1, rate=0.5)
    torch.testing.assert_close(found, expected.tanh())
    assert not found.requires_grad


def test_mining_depends_on_no_other_latent_of_the_batch() -> None:
    start = torch.rand(6, 4)
    weight = torch.randn(4, 1)
    whole = mined(start, lambda z: (z**2) @ weight, steps=3, rate=1.0)
    torch.testing.assert_close(whole[:2], mined(start[:2], lambda z: (z**2) @ weight, steps=3, rate=1.0))


@pytest.mark.parametrize("steps", [1, 5])
def test_mining_lowers_the_logit_of_nine_in_ten(steps: int) -> None:
    method, _ = begun(mining_from_epoch=9, learning_rate=5e-3)
    take_steps(method, 15)
    method.eval()
    start = 2 * torch.rand(200, 6, generator=torch.Generator().manual_seed(1)) - 1

    def logit(z: Tensor) -> Tensor:
        return method.classifier(method.decoder(z))

    with torch.no_grad():
        change = logit(mined(start, logit, steps, rate=1.0)) - logit(start.tanh())
    assert (change < 0).float().mean() >= 0.9
    assert change.mean() < -1e-3


@pytest.mark.parametrize("mining", [False, True])
def test_a_turn_leaves_the_other_networks_as_they_were_statistics_included(mining: bool) -> None:
    own = {
        "discriminators": ("visual.", "latent."),
        "classifier": ("classifier.",),
        "autoencoder": ("encoder.", "decoder."),
    }
    method, (phase,) = begun(mining_from_epoch=0 if mining else 9)
    assert bool(method.mining) == mining
    for turn, names in own.items():
        before = {name: tensor.clone() for name, tensor in method.state_dict().items()}
        optimizer = method.optimizer(phase, turn)
        optimizer.zero_grad()
        sum(method(tiny.faces(8), phase, turn).values()).backward()
        optimizer.step()
        changed = {n for n, tensor in method.state_dict().items() if not torch.equal(before[n], tensor)}
        assert changed
        assert all(name.startswith(names) for name in changed), turn
        assert any("running_mean" in name for name in changed), turn


def test_mining_begins_at_its_epoch() -> None:
    method, (phase,) = begun(mining_from_epoch=2)
    seen = []
    for epoch in range(4):
        method.refresh(lambda: [], phase, epoch)
        seen.append(bool(method.mining))
    assert seen == [False, False, True, True]


def test_mined_negatives_change_what_deceives_and_nothing_else() -> None:
    method, (phase,) = begun()
    mining = method(tiny.faces(8), phase, "autoencoder")
    method.mining.fill_(False)
    plain = method(tiny.faces(8), phase, "autoencoder")
    assert mining["visual_deceived"] != plain["visual_deceived"]
    assert torch.equal(mining["reconstruction"], plain["reconstruction"])
    assert torch.equal(mining["latent_deceived"], plain["latent_deceived"])


def test_weighted_terms_by_hand() -> None:
    method, (phase,) = begun(latent_weight=3.0, reconstruction_weight=5.0, mining_from_epoch=9)
    faces = tiny.faces(8)
    terms = method(faces, phase, "autoencoder")
    clean = method._clean(faces)
    noisy = clean + 0.2 * normal_like(clean, apart(faces.seed, 1))
    code = method.encoder(noisy)
    rebuilt = method.decoder(code)
    half = (rebuilt - clean).square().mean() / 2
    torch.testing.assert_close(terms["reconstruction"], 5 * half)
    logits = method.latent(code)
    torch.testing.assert_close(terms["latent_deceived"], 3 * (1 + (-logits).exp()).log().mean())


def test_without_its_adversaries_it_is_a_denoising_auto_encoder_and_learns() -> None:
    method, (phase,) = begun(latent_weight=0.0, visual_weight=0.0, mining_from_epoch=9, learning_rate=3e-3)
    faces = tiny.faces(64)
    optimizer = method.optimizer(phase, "autoencoder")
    errors = []
    for i in range(40):
        optimizer.zero_grad()
        terms = method(replace(faces, seed=faces.seed + i), phase, "autoencoder")
        assert terms["latent_deceived"] == terms["visual_deceived"] == 0
        errors.append(float(terms["reconstruction"].detach()))
        sum(terms.values()).backward()
        optimizer.step()
    assert errors[-1] < 0.5 * errors[0]


def test_a_score_is_the_mean_squared_error_and_needs_no_seed() -> None:
    method, _ = begun()
    faces = tiny.faces(5)
    other = replace(faces, seed=faces.seed + 1)
    with torch.no_grad():
        method.eval()
        clean = method._clean(faces)
        assert clean.min() >= -1
        assert clean.max() <= 1
        rebuilt = method.decoder(method.encoder(clean))
        by_hand = torch.stack([((r - c) ** 2).mean() for r, c in zip(rebuilt, clean, strict=True)])
        torch.testing.assert_close(method.predict(faces)[:, 0], by_hand)
        assert torch.equal(method.predict(faces), method.predict(other))
        noisy = tiny.build("ocgan", test_noise=True).eval()
        assert not torch.equal(noisy.predict(faces), noisy.predict(other))


HOME = {
    "input_px": 29, "channels": 8, "visual_channels": 4, "dropout": 0.0, "mining_from_epoch": 8,
    "epochs": 12, "batch_size": 32, "learning_rate": 0.002,
}  # fmt: skip


@pytest.mark.slow
def test_home_ground() -> None:
    assert digits.mean_auc("ocgan", **HOME) >= 0.80  # reached 0.892
