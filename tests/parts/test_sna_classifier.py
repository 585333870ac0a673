"""Table II of SNA's paper, and the classifier's ways to be asked."""

import torch
from torch import nn

from mien.parts.sna_classifier import Classification, Scores, TwoScale, answering, rarity, summed


def test_shapes_and_counts_of_table_ii() -> None:
    network = TwoScale(112, 7)
    assert sum(p.numel() for p in network.parameters()) == 5_356_085
    heads = sum(p.numel() for p in network.heads.parameters())
    lines = [sum(p.numel() for p in b.line.parameters()) for b in (network.whole_branch, network.half_branch)]
    assert (heads, lines) == (1_365, [401_472, 36_896])
    x = torch.zeros(1, 1, 112, 112)
    sides = [tuple(m.shape[1:]) for m in network.whole_branch.maps(x)]
    assert sides == [(64, 56, 56)] * 2 + [(128, 28, 28)] * 2 + [(256, 14, 14)] * 2 + [
        (512, 7, 7),
        (128, 7, 7),
    ]
    halves = [m.shape[-1] for m in network.half_branch.maps(x[..., :56, :56])]
    assert halves == [28, 28, 14, 14, 7, 7, 3, 3]
    whole, half = [(256, 14, 14), (512, 7, 7), (128, 7, 7)], [(256, 7, 7), (512, 3, 3), (128, 3, 3)]
    assert [tuple(m.shape[1:]) for m in network.perceived(x)] == whole
    assert [tuple(m.shape[1:]) for m in network.perceived(x, halved=True)] == whole + half


def test_pooling_after_the_second_convolution_changes_the_sides_between_only() -> None:
    network = TwoScale(32, 3, 0.125, pool_after="b").eval()
    assert [m.shape[-1] for m in network.whole_branch.maps(torch.zeros(1, 1, 32, 32))] == [
        32,
        16,
        16,
        8,
        8,
        4,
        2,
        2,
    ]
    assert network(torch.zeros(1, 1, 32, 32)).fused.shape == (1, 3)


def test_the_loss_is_that_of_three_heads() -> None:
    logits = [torch.randn((4, 3), generator=torch.Generator().manual_seed(n)) for n in range(3)]
    label, ones = torch.tensor([0, 1, 2, 0]), torch.ones(3)
    entropy = nn.functional.cross_entropy
    expected = sum(entropy(part, label, reduction="none") for part in logits)
    found = summed(Scores(*logits), label, Classification(loss="cross_entropy"), ones)
    torch.testing.assert_close(found, expected)
    assert (summed(Scores(*logits), label, Classification(), ones) < expected).all()
    weights = torch.tensor([2.0, 1.0, 0.5])
    weighted = Classification(loss="cross_entropy", balancing="weighted")
    torch.testing.assert_close(summed(Scores(*logits), label, weighted, weights), expected * weights[label])
    batch = Classification(loss="cross_entropy")
    torch.testing.assert_close(summed(Scores(*logits), label, batch, weights), expected)


def test_rare_classes_weigh_more_and_the_mean_is_one() -> None:
    weights = rarity([torch.tensor([0, 0, 0]), torch.tensor([0, 1, 1])], 2)
    torch.testing.assert_close(weights, torch.tensor([2 / 3, 4 / 3]))


def test_asked_for_an_answer_each_module_keeps_its_mode() -> None:
    network = TwoScale(32, 3, 0.125).train()
    network.half_branch.drop.eval()
    with answering(network):
        assert not any(module.training for module in network.modules())
    assert network.training
    assert network.whole_branch.drop.training
    assert not network.half_branch.drop.training
