"""Table I of SNA's paper, Loss_AE by hand, and the critic's bounds."""

import pytest
import torch

from mien.parts.sna_autoencoder import (
    CLIP,
    AutoEncoding,
    Critic,
    Decoder,
    Encoder,
    Refinement,
    Residual,
    autoencoding,
    unbend,
)
from mien.parts.sna_neighbourhood import Neighbourhood


def count(module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_shapes_and_counts_of_table_i() -> None:
    encoder, decoder = Encoder(112), Decoder(112)
    assert [count(stage) for stage in encoder.stages] == [176, 4_672, 18_560, 46_240]
    assert (count(encoder.code), count(encoder)) == (250_944, 320_592)
    assert (count(decoder.spread), count(decoder)) == (254_800, 490_002)
    assert count(Critic(112)) == 701_665
    x = torch.zeros(1, 1, 112, 112)
    code, maps = encoder(x)
    picture, answers = decoder(code)
    shapes = [(16, 56, 56), (32, 28, 28), (64, 14, 14), (80, 7, 7)]
    assert [tuple(m.shape[1:]) for m in maps] == shapes
    assert [tuple(m.shape[1:]) for m in answers] == shapes
    assert (code.shape, picture.shape) == ((1, 64), x.shape)


def test_unbent_rectifiers_and_tanh_bend_little() -> None:
    torch.manual_seed(0)
    encoder, decoder = Encoder(32), Decoder(32)
    unbend(encoder, decoder)
    with torch.no_grad():
        code, maps = encoder(torch.randn(16, 1, 32, 32))
        answers = decoder(code)[1]
    both = [*maps[:-1], *answers[:-1]]  # the last ones go both ways
    assert min(float((m > 0).float().mean()) for m in both) > 0.9
    assert float(maps[-1].std()) == pytest.approx(0.3, abs=0.03)


def test_loss_ae_by_hand() -> None:
    x = torch.zeros(2, 1, 4, 4)
    maps = [torch.ones(2, 3, 2, 2), torch.ones(2, 5, 1, 1)]
    assert autoencoding(x, x, maps, maps, 4.0) == 0
    assert autoencoding(x, x + 1, maps, maps, 4.0) == 4
    assert autoencoding(x, x, maps, [maps[0], maps[1] - 1], 4.0) == 1


def test_corruption_is_for_training_and_asked_for() -> None:
    torch.manual_seed(0)
    encoder, x = Encoder(32, 0.25, dropout=0.5).eval(), torch.randn(2, 1, 32, 32)
    assert torch.equal(encoder(x, corrupted=True)[0], encoder(x)[0])
    encoder.train()
    with torch.no_grad():
        assert torch.equal(encoder(x)[0], encoder(x)[0])  # batch statistics are the same ones
        assert not torch.equal(encoder(x, corrupted=True)[0], encoder(x)[0])


@pytest.mark.parametrize("learn", [False, True])
def test_clean_features_are_targets_only_unless_asked(learn: bool) -> None:
    torch.manual_seed(0)
    near, x = Neighbourhood(32, 0.25, dropout=0.0), torch.randn(4, 1, 32, 32)
    seen = []
    near.encoder.stages[0].register_forward_hook(lambda module, inputs, out: seen.append(out.requires_grad))
    near.autoencoding(x, AutoEncoding(targets_learn=learn)).backward()
    assert seen == [learn, True]


def test_the_critics_weights_stay_in_bounds_after_each_step() -> None:
    torch.manual_seed(0)
    near, x = Neighbourhood(32, 0.25, dropout=0.0), torch.randn(4, 1, 32, 32)
    near.begin_refinement()
    optimizer = near.optimizer("critic", Refinement(critic_rate=0.1))
    for _ in range(2):
        optimizer.zero_grad()
        real, fake = near.judged(x)
        (fake.mean() - real.mean()).backward()
        optimizer.step()
        largest = max(float(parameter.detach().abs().max()) for parameter in near.critic.parameters())
        assert largest == pytest.approx(CLIP)
    assert near.critic.tell.bias.grad.abs().max() < 1e-6  # no difference of two answers hangs on it


def test_the_code_holds_its_features_from_the_start() -> None:
    torch.manual_seed(0)
    near = Neighbourhood(32, 0.25, dropout=0.0, code=80)  # as many numbers as stage d has: 20 of 2x2
    features = torch.randn(3, 80)
    rebuilt = near.decoder.spread(near.encoder.code(features))
    torch.testing.assert_close(rebuilt, features)


def test_a_keeping_block_starts_near_the_identity() -> None:
    torch.manual_seed(0)
    block, x = Residual(4), torch.rand(8, 4, 8, 8) + 1
    added = block(x) - x  # no ReLU bends it: x is above 0 by more than it adds
    torch.testing.assert_close(added.std(dim=(0, 2, 3)), torch.full((4,), 0.1), rtol=0.01, atol=0)
    (added * torch.randn_like(added)).sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in block.parameters())
