"""SCN: weights, ranks and new labels."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from mien import methods
from mien.methods.scn import SCN, SCNConfig, hashes, rank_loss, relabelled
from mien.training.loop import Options, fit
from tests import tiny

TINY = {
    "width": 0.125,
    "input_px": 32,
    "batch_size": 8,
    "epochs": 2,
    "learning_rate": 0.005,
    "augmentation": {"rotation_degrees": 0.0, "flip": 0.0},
}


def test_rank_loss_by_hand() -> None:
    weight = torch.tensor([0.9, 0.1, 0.8, 0.7, 0.3, 0.6, 0.5, 0.4, 0.2, 0.85])
    upper, lower = (0.9 + 0.85 + 0.8 + 0.7 + 0.6 + 0.5 + 0.4) / 7, (0.3 + 0.2 + 0.1) / 3
    torch.testing.assert_close(rank_loss(weight, 0.7, 0.6), torch.tensor(0.6 - (upper - lower)))
    assert float(rank_loss(weight, 0.7, 0.15)) == 0.0  # far enough apart
    torch.testing.assert_close(rank_loss(torch.full((4,), 0.5), 0.7, 0.15), torch.tensor(0.15))


def test_a_label_gives_way_only_to_what_is_surer_by_the_margin() -> None:
    logits = torch.tensor([[0.5, 0.3, 0.2], [0.6, 0.3, 0.1], [0.1, 0.1, 0.8]]).log()
    assert relabelled(logits, torch.tensor([1, 1, 2]), 0.25).tolist() == [1, 0, 2]


def test_a_face_of_no_weight_is_of_every_class_alike() -> None:
    method = tiny.build("scn").eval()
    nn.init.constant_(method.importance.bias, -100.0)
    with torch.no_grad():
        torch.testing.assert_close(method.predict(tiny.faces(4)), torch.full((4, 3), 1 / 3))


def started(**changed: object) -> SCN:
    method = tiny.build("scn", **changed)
    tiny.enter(method, method.phases()[0])
    return method


def test_relabelling_waits_stays_and_is_counted() -> None:
    method = started(relabel_from_epoch=1, relabel_margin=0.0)
    (phase,) = method.phases()
    true = tiny.faces(12)
    noisy = replace(true, label=true.label.roll(1), true_label=true.label)
    method.keep(current=torch.zeros(0))
    for epoch, wanted in ((0, False), (1, True)):
        with torch.no_grad():
            method.eval().refresh(lambda: [noisy], phase, epoch)
        method.train()(noisy, phase, "all")
        assert bool(method.figures(phase)["relabelled"]) == wanted
    with torch.no_grad():
        order = hashes(noisy).argsort()
        predicted = (method.current != noisy.label[order]).sum()
        right = (method.current == true.label[order])[method.current != noisy.label[order]].sum()
        method.eval().refresh(lambda: [noisy], phase, 2)
    assert method.figures(phase) == {"relabelled": float(predicted), "relabelled_rightly": float(right)}
    before = method.current.clone()
    method.validate(noisy, phase)
    assert torch.equal(before, method.current), "a held-out face changed a label"


def test_the_loss_reads_the_label_in_use() -> None:
    method = started(relabel_from_epoch=5)
    (phase,) = method.phases()
    faces = tiny.faces(12, seed=11)  # those that `enter` has shown
    given = float(method(faces, phase, "all")["cross_entropy"].detach())
    method.current.copy_(faces.label.roll(1))
    assert float(method(faces, phase, "all")["cross_entropy"].detach()) != pytest.approx(given)
    strangers = tiny.faces(12, seed=12)
    assert torch.isfinite(method(strangers, phase, "all")["cross_entropy"])


def test_what_was_relabelled_is_recorded_and_not_saved_face_by_face(tmp_path) -> None:
    method = tiny.build("scn", relabel_from_epoch=0, relabel_margin=0.0, keep="last")
    fit(method, tiny.readers(), Options())
    assert method.record()["relabelled"] > 0
    assert len(method.current) == 0
    methods.save(method, "scn", tmp_path, {})
    assert methods.load(tmp_path)[1]["record"]["relabelled"] == method.record()["relabelled"]


def test_parameters_at_the_papers_size() -> None:
    with torch.device("meta"):
        method = methods.build("scn", SCNConfig(), [str(n) for n in range(7)])
    assert methods.learnt(method) == 11_176_512 + 513 + 512 * 7 + 7
