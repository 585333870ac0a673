import math

import torch
from torch.nn.functional import cross_entropy

from mien.parts.expression_network import ExpressionNetwork


def small() -> ExpressionNetwork:
    torch.manual_seed(0)
    return ExpressionNetwork(3, width=0.0625, dropout=0.0, slope=0.1)


def test_sizes_at_the_papers_width() -> None:
    network = ExpressionNetwork(7, width=1.0, dropout=0.5, slope=0.1)
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in network.named_children()}
    assert counts.pop("dropout") == 0
    assert counts == {
        "convolutions": 960_512,
        "fc2": 3_670_528,
        "fc3": 3_670_528,
        "expression": 3_591,
        "fc4": 524_288,
        "fc5": 131_328,
    }
    assert network.convolutions(torch.zeros(1, 1, 60, 60)).flatten(1).shape == (1, 7168)
    assert network.fc4.weight.T.shape == (1024, 512)


def test_the_connecting_layer_adds_both_branches() -> None:
    network, own, other = small(), torch.randn(2, 32), torch.randn(2, 32)
    p1, p2 = network.fc4.weight.split(32, dim=1)
    connected = network.fc4(torch.cat([own, other], dim=1))
    torch.testing.assert_close(connected, own @ p1.T + other @ p2.T, rtol=1e-5, atol=1e-5)


def test_features_teach_the_expression_branch_and_logits_never_the_metric_branch() -> None:
    network, faces = small(), torch.randn(2, 1, 60, 60)
    logits, features = network(faces)
    torch.testing.assert_close(logits, network.logits(faces))
    by_features = torch.autograd.grad(features.sum(), [network.fc4.weight, network.fc2.weight])
    assert all(gradient.abs().sum() > 0 for gradient in by_features)
    loss = cross_entropy(network(faces)[0], torch.tensor([0, 1]))
    metric = [network.fc3.weight, network.fc4.weight, network.fc5.weight]
    assert torch.autograd.grad(loss, metric, allow_unused=True) == (None, None, None)


def test_without_a_metric_it_is_the_expression_branch() -> None:
    network = ExpressionNetwork(3, width=0.0625, dropout=0.0, slope=0.1, metric=False)
    assert {name for name, _ in network.named_children()} == {"convolutions", "fc2", "expression", "dropout"}


def test_features_start_about_as_far_apart_as_the_radii_of_the_metric() -> None:
    torch.manual_seed(0)
    network, coarse = ExpressionNetwork(7, width=0.375, dropout=0.0, slope=0.1), torch.randn(16, 1, 10, 10)
    faces = torch.nn.functional.interpolate(coarse, size=60, mode="bicubic")
    with torch.no_grad():
        features = network(faces / faces.std())[1]
    spread = (features - features.mean(dim=0)).square().sum(dim=1).mean()
    assert 0.5 < spread < 8  # He's weights alone would give 48 times as much


def test_it_starts_with_nearly_no_opinion() -> None:
    torch.manual_seed(0)
    network = ExpressionNetwork(7, width=0.375, dropout=0.0, slope=0.1)
    loss = cross_entropy(network.logits(torch.randn(14, 1, 60, 60)), torch.arange(14) % 7)
    assert abs(loss.item() - math.log(7)) < 0.1
