"""Muon: every direction of a matrix moves alike, the rest moves by Adam."""

import copy

import pytest
import torch
from torch import nn

from mien.parts.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(12, 30), (30, 12), (16, 16)])
def test_strong_and_weak_directions_come_out_alike(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    u, _, v = torch.linalg.svd(torch.randn(shape, dtype=torch.float64), full_matrices=False)
    size = torch.logspace(0, -2, min(shape), dtype=torch.float64)
    turned = orthogonal(u @ size.diag() @ v)
    assert turned.shape == shape
    along = (u.T @ turned @ v.T).diag()  # of the same directions
    assert along.min() > 0.4
    assert along.max() < 1.3


def test_a_convolution_is_a_matrix_of_its_output_channels_and_a_bias_moves_by_adam() -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(2, 8, 1)
    before = copy.deepcopy(layer)
    optimizer = Muon(layer.parameters(), lr=0.1)
    layer.weight.grad, layer.bias.grad = torch.randn_like(layer.weight), torch.randn_like(layer.bias)
    optimizer.step()
    # the first gradient and its momentum point the same way; 8 rows and 2 columns: twice as long
    wanted = before.weight.flatten(1) - 0.2 * orthogonal(layer.weight.grad.flatten(1))
    torch.testing.assert_close(layer.weight.flatten(1), wanted)
    torch.testing.assert_close(layer.bias, before.bias - 0.01 * layer.bias.grad.sign())


def test_biases_move_as_torchs_adam_moves_them() -> None:
    torch.manual_seed(0)
    own, other = (nn.Parameter(torch.ones(5)) for _ in range(2))
    ours, theirs = Muon([own], lr=0.1), torch.optim.Adam([other], lr=0.01)
    for _ in range(4):
        own.grad = torch.randn(5)
        other.grad = own.grad.clone()
        ours.step()
        theirs.step()
    torch.testing.assert_close(own, other)


def test_it_goes_on_from_its_state() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(3, 4)
    gradients = [[torch.randn_like(p) for p in layer.parameters()] for _ in range(2)]

    def moved(network: nn.Module, optimizer: Muon, by: list[torch.Tensor]) -> None:
        for parameter, gradient in zip(network.parameters(), by, strict=True):
            parameter.grad = gradient
        optimizer.step()

    optimizer = Muon(layer.parameters(), lr=0.1)
    moved(layer, optimizer, gradients[0])
    again = copy.deepcopy(layer)
    resumed = Muon(again.parameters(), lr=0.5)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    moved(layer, optimizer, gradients[1])
    moved(again, resumed, gradients[1])
    for one, other in zip(layer.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
