from dataclasses import replace

import torch

from tests import tiny

TINY = {
    "width": 0.0625,
    "dropout": 0.0,
    "epochs": 1,
    "start": 100.0,
    "metric_weight": 0.03,
}  # out of the inner radius


def test_people_stand_with_all_their_expressions_in_a_batch() -> None:
    (phase,) = tiny.build("nm_tuplet").phases()
    assert phase.balanced
    assert phase.people


def test_own_class_is_pulled_and_other_faces_of_the_same_person_are_pushed_query_by_query() -> None:
    method = tiny.build("nm_tuplet")
    label, subject = torch.tensor([0, 1, 0, 1, -1]), torch.tensor([0, 0, 1, -1, 0])
    f = 3 * torch.randn(5, method.network.embedding, generator=torch.Generator().manual_seed(0))
    batch = replace(tiny.faces(5), subject=subject)
    centre = torch.stack([f[[0, 2]].mean(0), f[[1, 3]].mean(0)])
    q = torch.stack([method.metric(f, c.expand(5, -1)) for c in centre])
    expected = []
    for i, positives, negatives in ((0, [0, 2], [1]), (1, [1, 3], [0]), (2, [0, 2], []), (3, [1, 3], [])):
        near, far = (1 + q[label[i], positives]).clamp(min=0), (1 - q[label[i], negatives]).clamp(min=0)
        expected.append(near.mean() + (far.mean() if negatives else 0))
    found = method.metric_loss(f, label, batch)
    torch.testing.assert_close(found, torch.stack(expected).mean(), rtol=1e-4, atol=1e-4)


def test_a_batch_of_two_people_with_every_class_takes_n_and_m_distances_a_query() -> None:
    method = tiny.build("nm_tuplet")
    faces = replace(tiny.faces(6), subject=torch.arange(6) // 3)
    method(faces, method.phases()[0], "all")
    assert method.evaluations == 6 * (2 + 2)
