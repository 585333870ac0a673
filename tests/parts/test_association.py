"""Links, their loss and what travels over them, by hand (the numeric checks of EAN)."""

import pytest
import torch

from mien.config import MienError
from mien.parts.association import (
    Associated,
    Graph,
    adjacency,
    adjacency_loss,
    cosines,
    gallery_rows,
    links_found,
    propagation,
    threshold,
)

TAU = torch.tensor(0.5)


def test_propagation_by_hand() -> None:
    torch.testing.assert_close(propagation(torch.eye(3)), torch.eye(3))  # 2I, divided by 2
    whole = propagation(torch.ones(4, 4))
    torch.testing.assert_close(whole, torch.full((4, 4), 0.2) + 0.2 * torch.eye(4))
    pair = propagation(torch.tensor([[1.0, 1, 0], [1, 1, 0], [0, 0, 1]]))
    torch.testing.assert_close(pair, torch.tensor([[2 / 3, 1 / 3, 0], [1 / 3, 2 / 3, 0], [0, 0, 1]]))


def test_opposite_links_count_as_links_in_the_degree() -> None:
    p = propagation(torch.tensor([[1.0, -1], [-1, 1]]))
    torch.testing.assert_close(p, torch.tensor([[2 / 3, -1 / 3], [-1 / 3, 2 / 3]]))


def test_adjacency_loss_by_hand_and_its_blind_spot() -> None:
    label = torch.tensor([0, 0, 1, 1])
    same = (label[:, None] == label).float()
    assert float(same.sum()) == 8
    assert float((same * torch.eye(4)).sum()) == 4
    torch.testing.assert_close(0.1 * adjacency_loss(torch.eye(4), same, literal=True), torch.tensor(1.6))
    torch.testing.assert_close(0.1 * adjacency_loss(torch.eye(4), same), torch.tensor(0.025))
    for blind in (same, torch.ones(4, 4)):  # wrong links cost nothing
        assert float(adjacency_loss(blind, same)) == 0


def test_hard_links_have_no_gradient_and_straight_through_ones_do() -> None:
    rows = torch.randn(6, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    same = torch.ones(6, 6)
    hard = adjacency(cosines(rows), TAU, Graph(gradient="hard"))
    assert not adjacency_loss(hard, same).requires_grad
    through = adjacency(cosines(rows), TAU, Graph())
    assert torch.equal(through.detach(), hard), "the forward values are exactly the hard ones"
    adjacency_loss(through, same).backward()
    assert float(rows.grad.abs().sum()) > 0
    assert torch.equal(adjacency(cosines(10 * rows), TAU, Graph()), through)


def test_both_thresholds_and_the_diagonal() -> None:
    rows = torch.tensor([[1.0, 0], [1, 0.1], [-1, 0]])
    one, other = (
        adjacency(cosines(rows), TAU, Graph(tau2=-0.5, opposite=o, self_links=False)) for o in (1, -1)
    )
    assert one.tolist() == [[0, 1, 1], [1, 0, 1], [1, 1, 0]]
    assert other.tolist() == [[0, 1, -1], [1, 0, -1], [-1, -1, 0]]
    assert adjacency(cosines(rows), TAU, Graph()).diagonal().tolist() == [1, 1, 1]


def test_a_row_of_zeros_is_like_no_other() -> None:
    similarity = cosines(torch.tensor([[0.0, 0], [1, 0]]))
    assert similarity.tolist() == [[0, 0], [0, 1]]
    assert adjacency(similarity, TAU, Graph()).tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize("share", [0.0, 0.5, 0.8])
def test_the_threshold_lies_between_the_means_over_all_pairs(share: float) -> None:
    random = torch.Generator().manual_seed(1)
    rows, label = torch.randn(20, 4, generator=random), torch.arange(20) % 3
    similarity, others = cosines(rows).double(), ~torch.eye(20, dtype=torch.bool)
    same = label[:, None] == label
    expected = share * similarity[same & others].mean() + (1 - share) * similarity[~same].mean()
    torch.testing.assert_close(threshold(rows, label, share), expected)


def test_the_gallery_prefers_what_is_right_then_what_is_near() -> None:
    features = torch.tensor([[0.0], [1.0], [2.0], [9.0], [5.0], [6.0]])
    label = torch.tensor([0, 0, 0, 0, 1, 1])
    right = torch.tensor([True, True, False, True, True, True])
    rows = gallery_rows(features, label, right, ("a", "b"), 2)
    assert rows[:2].tolist() == [1, 0]  # mean 3: row 2 is nearest, but wrong
    assert sorted(rows[2:].tolist()) == [4, 5]
    again = gallery_rows(features, label, right, ("a", "b"), 3)
    assert sorted(again[3:].tolist()) == sorted([*rows[2:].tolist(), int(rows[2])])  # b has two faces
    with pytest.raises(MienError, match="c has no training face"):
        gallery_rows(features, label, right, ("a", "b", "c"), 3)


def test_links_found_by_hand() -> None:
    label = torch.tensor([0, 0, 1])
    a = torch.tensor([[1.0, 1, 1], [1, 1, 0], [1, 0, 1]])  # links 0-1 (equal) and 0-2 (different)
    torch.testing.assert_close(links_found(a, label), torch.tensor([4 / 6, 0.5, 1.0]))


def test_the_identity_is_no_propagation_and_parameters_are_counted() -> None:
    torch.manual_seed(0)
    net = Associated(512, 256, 7)
    assert sum(p.numel() for p in net.parameters()) == 133_127
    assert sum(p.numel() for p in Associated(512, 256, 8).parameters()) == 133_384
    x = torch.randn(5, 512)
    torch.testing.assert_close(net(x), net(x, propagation(torch.eye(5))), rtol=0, atol=1e-5)


def test_one_convolution_is_equation_8_as_printed() -> None:
    torch.manual_seed(0)
    net = Associated(6, None, 3)
    assert sum(p.numel() for p in net.parameters()) == 6 * 3 + 3
    x, p, kept = torch.randn(4, 6), propagation(torch.ones(4, 4)), torch.tensor([0.0, 2.0]).repeat(4, 3)
    theta, bias = net.second.weight.T, net.second.bias
    torch.testing.assert_close(net(x, p, kept), p @ (x * kept) @ theta + bias)
    assert net.dropped == 6
