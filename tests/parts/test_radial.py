import pytest
import torch

from mien.parts.radial import Quadratic, class_centres, pull, push


def plain(size: int = 3) -> Quadratic:
    """L_A = L_B = I, c = 0, b = -2: Q is half the squared distance less 2."""
    form = Quadratic(size, size)
    with torch.no_grad():
        form.factors.weight.copy_(torch.cat([torch.eye(size), torch.eye(size), torch.zeros(1, size)]))
    return form


def drawn(count: int, size: int, seed: int) -> torch.Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed))


def test_q_is_half_the_squared_distance_less_two_at_the_identity() -> None:
    a, b = drawn(5, 3, 0), drawn(5, 3, 1)
    torch.testing.assert_close(plain()(a, b), (a - b).square().sum(dim=1) / 2 - 2)


def test_it_starts_as_a_distance_within_the_span_of_orthonormal_rows() -> None:
    form = Quadratic(8, 4)
    rows = form.factors.weight[:4]
    torch.testing.assert_close(rows @ rows.T, torch.eye(4), rtol=0, atol=1e-5)
    a, b = drawn(5, 8, 0), drawn(5, 8, 1)
    torch.testing.assert_close(
        form(a, b), ((a - b) @ rows.T).square().sum(dim=1) / 2 - 2, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(
    ("query", "reference", "loss"),
    [(2.0**0.5, 6.0**0.5, 0.0), (1.0, 3.0, 0.0), (2.0, 6.0**0.5, 1.0), (0.0, 2.0, 1.0), (0.0, 0.0, 3.0)],
)
def test_a_query_within_the_inner_and_a_reference_beyond_the_outer_radius_cost_nothing(
    query: float, reference: float, loss: float
) -> None:
    form, centre, along = plain(), torch.zeros(1, 3), torch.tensor([[1.0, 0.0, 0.0]])
    found = pull(form(query * along, centre)) + push(form(reference * along, centre))
    torch.testing.assert_close(found, torch.tensor([loss]), rtol=0, atol=1e-5)


def test_the_pull_draws_a_query_to_its_centre_and_the_push_drives_a_reference_away() -> None:
    form, centre = plain(), torch.tensor([[1.0, 2.0, -1.0]])
    start = centre + torch.tensor([[3.0, 0.0, 0.0]])
    for cost, towards in ((pull, 1), (push, -1)):
        f = (start if cost is pull else centre + torch.tensor([[1.0, 0.0, 0.0]])).clone().requires_grad_()
        cost(form(f, centre)).sum().backward()
        assert f.grad is not None
        away = f.detach() - centre
        torch.testing.assert_close(towards * f.grad / f.grad.norm(), away / away.norm())


def test_q_equals_its_matrices_and_they_stay_semi_definite_while_it_learns() -> None:
    torch.manual_seed(0)
    form = Quadratic(6, 4)
    optimizer = torch.optim.SGD(form.parameters(), lr=0.1)
    for number in range(100):
        optimizer.zero_grad()
        q = form(drawn(8, 6, number), drawn(8, 6, 1000 + number))
        (
            pull(q).mean() + push(form(drawn(8, 6, 2000 + number), drawn(8, 6, 3000 + number))).mean()
        ).backward()
        optimizer.step()
    l_a, l_b, c = form.factors.weight.detach().double().split([4, 4, 1])
    a, b = l_a.T @ l_a, -(l_b.T @ l_b)
    assert torch.linalg.eigvalsh(a).min() >= -1e-6
    assert torch.linalg.eigvalsh(b).max() <= 1e-6
    x, y = drawn(5, 6, 1).double(), drawn(5, 6, 2).double()
    own = ((x @ a) * x).sum(1) / 2 + ((y @ a) * y).sum(1) / 2 + ((x @ b) * y).sum(1)
    explicit = own + (x + y) @ c[0] + form.threshold.double()
    torch.testing.assert_close(form(x.float(), y.float()).double(), explicit, rtol=0, atol=1e-4)
    torch.testing.assert_close(form(x.float(), y.float()), form(y.float(), x.float()), rtol=0, atol=1e-5)


def test_it_counts_the_pairs() -> None:
    form = plain()
    form(drawn(5, 3, 0), drawn(5, 3, 1))
    form(drawn(2, 3, 0), drawn(2, 3, 1))
    assert form.evaluations == 7


def test_centres_are_means_of_the_known_faces_and_gradients_reach_these() -> None:
    features = torch.tensor([[1.0, 0.0], [3.0, 2.0], [5.0, 5.0], [9.0, 9.0]], requires_grad=True)
    centres = class_centres(features, torch.tensor([0, 0, 2, -1]), 3)
    torch.testing.assert_close(centres, torch.tensor([[2.0, 1.0], [0.0, 0.0], [5.0, 5.0]]))
    centres.sum().backward()
    assert features.grad is not None
    assert features.grad[:, 0].tolist() == [0.5, 0.5, 1.0, 0.0]
