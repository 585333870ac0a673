import torch

from mien.parts.landmark_sets import INNER, choose


def test_forty_nine_are_unique_and_leave_out_the_jaw_and_the_inner_mouth_corners() -> None:
    assert len(INNER) == len(set(INNER)) == 49
    assert not set(INNER) & {*range(17), 60, 64}
    points = torch.arange(68.0)[None, :, None].expand(2, 68, 2)
    assert choose(points, 49)[1, :, 0].tolist() == list(INNER)


def test_five_by_hand() -> None:
    points = torch.arange(68.0)[None, :, None].expand(1, 68, 2)
    assert choose(points, 5)[0, :, 1].tolist() == [38.5, 44.5, 30.0, 48.0, 54.0]


def test_sixty_eight_are_all() -> None:
    points = torch.rand(3, 68, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(choose(points, 68), points)
