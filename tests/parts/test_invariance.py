"""EAN's generator: what is spoilt, and what either side of the game learns."""

from dataclasses import replace

import pytest
import torch
from torch.optim import Adam

from mien.config import MienError
from mien.parts.invariance import Discriminator, Invariance, Posed, mean_where, occluded, posed, relit
from tests import tiny

HOW = Invariance(people=8)


def test_parameters_are_the_papers() -> None:
    assert sum(p.numel() for p in Discriminator(128, 500).parameters()) == 1_734_135


def test_an_occluder_covers_ten_to_thirty_percent() -> None:
    seed = torch.arange(200)
    covered = (occluded(torch.zeros(200, 3, 60, 60), seed) == 127.5).float().mean(dim=(1, 2, 3))
    assert covered.min() > 0.08
    assert covered.max() < 0.32  # rounded to pixels
    assert covered.std() > 0.04


def test_light_changes_each_face_by_its_own_seed() -> None:
    grey = torch.full((50, 3, 4, 4), 128.0)
    lit = relit(grey, torch.arange(50))
    assert lit.min() >= 0
    assert lit.max() <= 255
    assert len(lit[:, 0, 0, 0].unique()) > 45
    assert torch.equal(relit(grey[3:5], torch.tensor([3, 4])), lit[3:5])


def test_every_second_clean_face_is_spoilt_and_no_other() -> None:
    faces = tiny.faces(400)
    pixels = faces.faces.float()
    seen = posed(pixels, faces, 8)
    changed = (seen.pixels != pixels).flatten(1).any(dim=1)
    assert not changed[faces.clean == 0].any()
    assert 0.4 < changed[faces.clean == 1].float().mean() < 0.6
    assert torch.equal(seen.pose, ((faces.clean == 0) | changed).long())


def test_unknown_faces_and_too_many_people_are_refused() -> None:
    faces = tiny.faces(6)
    pixels = faces.faces.float()
    with pytest.raises(MienError, match="known people and views"):
        posed(pixels, replace(faces, clean=torch.full((6,), -1)), 8)
    with pytest.raises(MienError, match="more people"):
        posed(pixels, faces, 2)


def test_a_mean_over_none_is_zero_and_still_differentiable() -> None:
    values = torch.ones(3, requires_grad=True)
    nothing = mean_where(values, torch.zeros(3, dtype=torch.bool))
    nothing.backward()
    assert (float(nothing.detach()), float(values.grad.abs().sum())) == (0.0, 0.0)


def test_a_step_against_a_sharp_discriminator_lowers_what_it_tells() -> None:
    torch.manual_seed(0)
    pose = torch.tensor([0, 1] * 8)
    person = torch.arange(16) % 8
    faces = Posed(torch.zeros(16, 3, 8, 8), person, pose)
    tapped = torch.randn(16, 4, 8, 8) + 2 * pose[:, None, None, None]
    judge = Discriminator(4, 8).train()
    optimizer = Adam(judge.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        terms = judge.learning(tapped, faces, HOW)
        sum(terms.values()).backward()
        optimizer.step()
    assert float(terms["poses"].detach()) < 0.3
    moved = tapped.clone().requires_grad_()
    before = {n: v.clone() for n, v in judge.state_dict().items()}
    first = judge.deceived(moved, faces, HOW)
    (slope,) = torch.autograd.grad(first["adversarial"], moved)
    second = judge.deceived(tapped - 20 * slope, faces, HOW)
    assert second["adversarial"].detach() < first["adversarial"].detach()
    assert all(torch.equal(before[n], v) for n, v in judge.state_dict().items()), "the judge itself moved"


def test_nobody_is_an_extra_class() -> None:
    torch.manual_seed(0)
    faces = Posed(torch.zeros(2, 3, 8, 8), torch.tensor([1, 1]), torch.tensor([0, 1]))
    judge, tapped = Discriminator(4, 3).eval(), torch.randn(2, 4, 8, 8)
    who, _ = judge(tapped)
    expected = -(who.log_softmax(1)[0, 1] + who.log_softmax(1)[1, 3]) / 2
    told = judge.learning(tapped, faces, Invariance(people=3, fake_identity=True))["people"]
    torch.testing.assert_close(told, expected)


def test_the_flipped_label_keeps_its_gradient_where_the_judge_is_sure() -> None:
    logit = torch.tensor(4.595, requires_grad=True)  # sigmoid .99: surely not frontal
    flipped = torch.nn.functional.softplus(logit)  # -log(1 - D)
    literal = torch.nn.functional.logsigmoid(logit)  # log D, minimised
    slopes = [float(torch.autograd.grad(loss, logit)[0]) for loss in (flipped, literal)]
    assert slopes == pytest.approx([0.99, 0.01], abs=1e-4)
