from dataclasses import replace

import torch

from mien.parts.hard_negatives import HardNegatives, HNGSettings, Stage, corpora, facing, offer, share_of_mean
from mien.parts.hng import Guides
from tests import tiny

SMALL = {"judges_from": "trained", "judges_width": 0.0625, "judges_px": [16, 64], "generation_width": 0.0625}


def test_a_mean_over_those_who_are_known() -> None:
    found = share_of_mean(torch.tensor([1.0, 5.0, 9.0]), torch.tensor([True, False, True]))
    assert found.item() == 5
    assert share_of_mean(torch.ones(2), torch.zeros(2, dtype=torch.bool)).item() == 0


def test_faces_are_mirrored_so_that_their_far_side_lies_to_the_right_and_back_again() -> None:
    torch.manual_seed(0)
    hng, faces = HardNegatives(HNGSettings(**SMALL), slope=0.1), tiny.faces(4)
    hng.begin()
    assert faces.points is not None
    points = faces.points.clone()
    points[:, 0, 0], points[:, 16, 0] = 0.0, 40.0
    points[:2, 30, 0], points[2:, 30, 0] = 10.0, 30.0  # noses to the left, then to the right
    batch = replace(faces, points=points)
    seen, mirror = facing(batch)
    assert mirror.tolist() == [True, True, False, False]
    with torch.no_grad():
        made = ((hng.eval().generator(seen) + 1) * 127.5).round().byte()
    found = hng.generated(batch)
    assert torch.equal(found[:2], made[:2].flip(-1))
    assert torch.equal(found[2:], made[2:])


def test_a_guide_in_the_wild_comes_after_any_other_and_then_the_one_most_from_the_front() -> None:
    faces = tiny.faces(4)
    assert faces.points is not None
    points = faces.points.clone()
    points[:, 0, 0], points[:, 16, 0] = 0.0, 40.0
    points[:, 30, 0] = torch.tensor([20.0, 26.0, 25.0, 21.0])  # noses: 0 and 3 are most from the front
    person = torch.tensor([0, 0, 0, 1])
    batch = replace(faces, points=points, subject=person, clean=torch.tensor([0, 1, 1, 0]))
    grey = torch.arange(4.0)[:, None, None, None].expand(4, 1, 64, 64)
    guides = Guides()
    offer(guides, grey, batch, torch.tensor([True, True, True, True]))
    assert guides.faces[:, 0, 0, 0].tolist() == [2, 3]  # person 1 has none but that in the wild
    guides = Guides()
    offer(guides, grey, replace(batch, clean=torch.full((4,), -1)), torch.tensor([True, True, True, False]))
    assert guides.faces[:, 0, 0, 0].tolist() == [0]


def test_judges_maps_are_measured_on_the_guiding_set_once() -> None:
    torch.manual_seed(0)
    hng, faces = HardNegatives(HNGSettings(**SMALL), slope=0.1), tiny.faces(9)
    hng.begin()
    calls = []
    with torch.no_grad():
        for _ in range(2):
            hng.gather(lambda: calls.append(1) or [faces], "here")
    assert len(calls) == 1
    assert hng.guides.people.tolist() == [0]  # of tiny faces only person 0 is neutral
    phi = hng.judges.vgg(hng.guides.faces.float() / 127.5 - 1)
    torch.testing.assert_close(hng.units[0], phi.square().mean().sqrt())


def test_where_it_learns_from_in_words() -> None:
    assert corpora([Stage(corpus="rendered"), Stage()]) == "corpus rendered, then the training people alone"
