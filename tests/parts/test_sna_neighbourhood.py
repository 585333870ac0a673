"""SNA's neighbourhoods: what the refinement moves and weighs."""

import pytest
import torch
from torch.optim import RMSprop

from mien.parts.sna_autoencoder import AutoEncoding, Refinement
from mien.parts.sna_neighbourhood import Neighbourhood, falling, set_aside, stepping
from mien.parts.sna_tally import NOISES


def made() -> Neighbourhood:
    torch.manual_seed(0)
    return Neighbourhood(32, 0.25, dropout=0.0)


@pytest.mark.parametrize(("epoch", "weight"), [(0, 1e-3), (19, 1e-3), (20, 1e-4), (99, 1e-7)])
def test_lambda_ae_falls_to_a_tenth_every_twenty_epochs(epoch: int, weight: float) -> None:
    near = made()
    near.weigh(Refinement(), epoch)
    assert near.autoencoder_weight.item() == pytest.approx(weight)


@pytest.mark.parametrize(
    ("shares", "noise"),
    [
        ((0.99, 0.97, 0.96, 0.95, 0.9), 0.3),
        ((0.94, 0.93, 0.92, 0.9, 0.9), 0.05),
        ((0.99, 0.94, 0.94, 0.96, 0.97), 0.5),
    ],
)
def test_the_noise_is_the_largest_at_which_95_of_100_keep_their_class(shares, noise: float) -> None:
    near = made()
    found = {f"validation_named_alike_at_{s}": v for s, v in zip(NOISES, shares, strict=True)}
    near.settle(found | {"validation_psnr": 30.0})
    assert near.noise.item() == pytest.approx(noise)
    near.settle({"validation_psnr": 31.0})  # an epoch in which nothing was measured
    assert near.noise.item() == pytest.approx(noise)


class Further:
    """Stands for a baseline: tells how far a neighbour is, not whether it is named alike."""

    def agrees(self, x: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        return (others - x).flatten(1).abs().mean(dim=1)


def test_the_baseline_is_asked_about_the_neighbours_of_each_noise() -> None:
    near, x = made().eval(), torch.randn((6, 1, 32, 32), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        told = near.kept_classes(x, torch.arange(6), Further())
        for noise in NOISES:
            wanted = Further().agrees(x, near(x, torch.arange(6), noise))
            assert torch.equal(told[f"named_alike_at_{noise}"], wanted)
    assert len({tuple(rows.tolist()) for rows in told.values()}) == 5


def test_the_terms_of_l_g_are_weighted_as_the_settings_say() -> None:
    x = torch.randn((4, 1, 32, 32), generator=torch.Generator().manual_seed(1))
    near = made()
    near.begin_refinement()

    def terms(**changed: object) -> dict[str, float]:
        how = Refinement(**changed)
        near.weigh(how, 0)
        told = near.deceiving(x, lambda pictures: [pictures, 2 * pictures, 3 * pictures], how, 4.0)
        return {name: term.item() for name, term in told.items()}

    near.eval()
    usual, double = terms(), terms(autoencoder_weight=2e-3, adversarial_weight=10.0, pixel_weight=2.0)
    assert double["perceptual"] == usual["perceptual"]
    for name in ("autoencoding", "deceived", "pixels"):
        assert double[name] == pytest.approx(2 * usual[name])
    # maps that are 1, 2 and 3 times the picture: their squared errors are 1, 4 and 9 times the picture's
    assert usual["perceptual"] == pytest.approx((100 + 0.1 * 4 + 0.001 * 9) * usual["pixels"], rel=1e-5)


def test_the_maps_of_a_second_branch_have_the_same_weights() -> None:
    near, x = made().eval(), torch.randn((4, 1, 32, 32), generator=torch.Generator().manual_seed(1))
    near.begin_refinement()

    def perceptual(branches: int) -> float:
        seen = near.deceiving(x, lambda p: [p, 2 * p, 3 * p] * branches, Refinement(), 4.0)
        return seen["perceptual"].item()

    assert perceptual(2) == pytest.approx(2 * perceptual(1))


def test_only_the_decoder_is_refined_and_the_one_of_before_is_kept() -> None:
    near, x = made(), torch.randn(4, 1, 32, 32)
    near.begin_refinement()
    before = {name: value.clone() for name, value in near.unrefined.state_dict().items()}
    optimizer = near.optimizer("generator", Refinement())
    sum(near.deceiving(x, lambda pictures: [pictures] * 3, Refinement(), 4.0).values()).backward()
    optimizer.step()
    assert all(torch.equal(before[name], value) for name, value in near.unrefined.state_dict().items())
    assert not torch.equal(near.decoder.paint.skip.weight, near.unrefined[1].paint.skip.weight)
    assert all(parameter.grad is None for parameter in near.encoder.parameters())
    near.eval()
    assert not torch.equal(near.rebuilt(x), near.rebuilt(x, refined=False))
    assert {"psnr", "psnr_unrefined", "sharpness_of_originals"} <= near.likeness(x).keys()


def test_a_network_is_taken_out_of_a_state_by_its_name() -> None:
    near = made()
    near.keep_unrefined()
    state = {f"neighbourhood.{name}": value for name, value in near.state_dict().items()}
    state |= {"neighbourhoods.x": torch.zeros(1), "other": torch.zeros(1)}
    found = set_aside(state, "neighbourhood", lambda: Neighbourhood(32, 0.25, dropout=0.0))
    assert state.keys() == {"neighbourhoods.x", "other"}
    assert all(torch.equal(value, found.state_dict()[name]) for name, value in near.state_dict().items())
    assert set_aside(state, "neighbourhood", made) is None


def test_the_encoder_learns_in_the_refinement_only_if_it_is_told_to() -> None:
    near, x = made().eval(), torch.randn(4, 1, 32, 32)
    near.begin_refinement()
    how = Refinement(encoder_learns=True)
    moved = {id(parameter) for parameter in near.refined_by("generator", how)}
    assert {id(parameter) for parameter in near.encoder.parameters()} < moved
    sum(near.deceiving(x, lambda pictures: [pictures] * 3, how, 4.0).values()).backward()
    assert all(parameter.grad is not None for parameter in near.encoder.parameters())
    assert len(near.refined_by("generator", Refinement())) < len(moved)


@pytest.mark.parametrize(
    ("epoch", "refining", "still"), [(1, False, False), (2, False, True), (0, True, True)]
)
def test_batch_norm_settles_when_it_is_told_to(epoch: int, refining: bool, still: bool) -> None:
    near, x = made().train(), torch.randn((4, 1, 32, 32), generator=torch.Generator().manual_seed(1))
    near.stand(AutoEncoding(settled_epoch=2), refining, epoch)
    near.autoencoding(x, AutoEncoding(dropout=0.0))
    moved = {name for name, value in near.named_buffers() if name.endswith("batches_tracked") and value}
    assert bool(moved) is not still
    near.train()
    near.stand(AutoEncoding(), refining, epoch)
    assert all(module.training for module in near.decoder.modules())


def test_rates_fall_as_the_settings_say() -> None:
    def rates(how, epochs: int) -> list[float]:
        optimizer = stepping(made().parameters(), how) if isinstance(how, AutoEncoding) else None
        optimizer = optimizer or RMSprop(made().parameters(), how.learning_rate)
        schedule, seen = falling(optimizer, how, epochs), []
        for _ in range(epochs):
            seen.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule and schedule.step()
        return seen

    half = pytest.approx([1.0, 0.75, 0.25], abs=1e-6)
    assert rates(AutoEncoding(optimizer="muon", learning_rate=1.0, schedule="cosine"), 3) == half
    assert rates(AutoEncoding(learning_rate=1.0, decay_epochs=2), 3) == pytest.approx([1.0, 1.0, 0.1])
    assert rates(Refinement(learning_rate=1.0, schedule="cosine"), 3) == half
    assert rates(Refinement(learning_rate=1.0), 3) == [1.0, 1.0, 1.0]
