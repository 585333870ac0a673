import copy
from contextlib import nullcontext

import pytest
import torch
from torch import nn
from torchvision.models import vgg16, vgg16_bn

from mien.config import MienError
from mien.methods import mkd
from mien.training.loop import Options, fit
from mien.training.step import step
from tests import digits, tiny

TINY = {
    "teacher": "trained", "teacher_training": {"epochs": 2, "batch_size": 8}, "teacher_norm": True,
    "width": 0.125, "cloner_channels": 4, "input_px": 32, "batch_size": 8, "epochs": 2,
}  # fmt: skip
ON_DIGITS = {
    "teacher": "random", "width": 0.25, "input_px": 32, "epochs": 6, "batch_size": 16,
}  # fmt: skip


@pytest.fixture(scope="module")
def paper_size() -> mkd.MKD:
    return mkd.MKD(mkd.MKDConfig(), ("happy",))


def distilling(method: mkd.MKD) -> mkd.Phase:
    phase = method.phases()[-1]
    tiny.enter(method, phase)
    return phase


def test_the_paper_s_sizes(paper_size: mkd.MKD) -> None:
    assert sum(p.numel() for p in paper_size.teacher.parameters()) == 14_714_688  # torchvision's body
    assert sum(p.numel() for p in paper_size.cloner.parameters()) == 343_984


def test_teacher_and_cloner_agree_on_the_shapes_of_the_pools_that_count(paper_size: mkd.MKD) -> None:
    wanted = [(1, 128, 56, 56), (1, 256, 28, 28), (1, 512, 14, 14), (1, 512, 7, 7)]
    with torch.no_grad():
        for network in (paper_size.teacher, paper_size.cloner):
            maps = mkd.pools(network.eval(), torch.zeros(1, 3, 224, 224))
            assert [tuple(m.shape) for m in maps[mkd.TRAINED]] == wanted


def test_batch_norm_is_everywhere_but_before_a_pool(paper_size: mkd.MKD) -> None:
    layers = list(paper_size.cloner)
    for conv, after, then in zip(layers, layers[1:], layers[2:], strict=False):
        if isinstance(conv, nn.Conv2d):
            assert conv.bias is None
            assert isinstance(after, nn.ReLU if isinstance(then, nn.MaxPool2d) else nn.BatchNorm2d)


def test_the_terms_by_hand() -> None:
    cloned, taught = torch.tensor([[[[3.0, 4.0]]]]), torch.tensor([[[[4.0, 3.0]]]])
    torch.testing.assert_close(mkd.direction(cloned, taught), torch.tensor([1 - 24 / 25]))
    torch.testing.assert_close(mkd.magnitude(cloned, taught), torch.tensor([1.0]))  # (1 + 1) / 2
    direction, magnitude = mkd.discrepancy([cloned, taught], [taught, taught])
    torch.testing.assert_close(direction, torch.tensor([1 / 25]))
    torch.testing.assert_close(magnitude, torch.tensor([1.0]))


def test_direction_ignores_length_and_sees_the_opposite() -> None:
    a = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(mkd.direction(a, 3 * a), torch.zeros(3), rtol=0, atol=1e-6)
    torch.testing.assert_close(mkd.direction(a, -a), torch.full((3,), 2.0))
    assert (mkd.magnitude(a, 3 * a) > 1).all()


def test_the_same_maps_twice_are_no_discrepancy() -> None:
    maps = [torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(k)) for k in range(4)]
    for part in mkd.discrepancy(maps, maps):
        torch.testing.assert_close(part, torch.zeros(2), rtol=0, atol=1e-6)


def test_the_score_is_the_training_loss_without_pool_2() -> None:
    method = tiny.build("mkd", magnitude_weight=0.3)
    phase, one = distilling(method), tiny.faces(1)
    with torch.no_grad():
        terms = method.eval()(one, phase, "all")
        pixels = mkd.imagenet(mkd.resize(one.faces, 32))
        cloned, taught = (mkd.pools(n, pixels)[1] for n in (method.cloner, method.teacher))
        pool_2 = mkd.direction(cloned, taught) + 0.3 * mkd.magnitude(cloned, taught)
        score = method.predict(one)
    torch.testing.assert_close(score[0, 0], sum(terms.values()) - pool_2[0], rtol=0, atol=1e-6)
    torch.testing.assert_close(score[:, 0], score[:, 1] + 0.3 * score[:, 2])


def test_distillation_leaves_every_tensor_of_the_teacher_alone() -> None:
    method = tiny.build("mkd")
    phase = distilling(method)
    before = copy.deepcopy(method.teacher.state_dict())
    optimizers = {"all": method.optimizer(phase, "all")}
    for number in range(5):
        step(method.train(), method, tiny.faces(8, seed=number), phase, number, optimizers, nullcontext())
    assert tiny.same_state(before, method.teacher.state_dict())
    method.teacher.train()  # without the frozen mode its batch norm would drift
    method(tiny.faces(8), phase, "all")
    assert not tiny.same_state(before, method.teacher.state_dict())


def test_the_cloner_halves_its_loss_in_60_steps() -> None:
    method, faces = tiny.build("mkd", learning_rate=3e-3), tiny.faces(32)
    phase = distilling(method)
    optimizer, losses = method.train().optimizer(phase, "all"), []
    for _ in range(60):
        optimizer.zero_grad()
        loss = sum(method(faces, phase, "all").values())
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 2


def test_the_teacher_has_torchvision_s_names_and_shapes() -> None:
    with torch.device("meta"):
        theirs = {False: vgg16().features, True: vgg16_bn().features}
        for norm, features in theirs.items():
            ours = mkd.vgg16(1.0, norm).state_dict()
            assert {n: t.shape for n, t in ours.items()} == {
                n: t.shape for n, t in features.state_dict().items()
            }


def test_a_file_fills_the_teacher_and_another_width_is_refused(tmp_path) -> None:
    asked = {"teacher": "file", "teacher_file": str(tmp_path / "vgg16.pth"), "teacher_norm": False}
    given = tiny.build("mkd", **asked, seed=1).teacher
    torch.save({f"features.{n}": t for n, t in given.state_dict().items()}, tmp_path / "vgg16.pth")
    method = tiny.build("mkd", **asked)
    (phase,) = method.phases()
    method.start(phase, 1)
    assert tiny.same_state(method.teacher.state_dict(), given.state_dict())
    assert method.record()["teacher"].startswith("file ")
    assert method.files(method.config) == {"teacher_file": tmp_path / "vgg16.pth"}
    with pytest.raises(MienError, match=r"methods\.mkd\.teacher_file"):
        tiny.build("mkd", **asked, width=0.25).start(phase, 1)


@pytest.mark.parametrize(("teacher", "loud"), [("trained", "NOT IMAGENET"), ("random", "NOT PRE-TRAINED")])
def test_a_teacher_that_is_not_imagenet_s_is_told_loudly(teacher: str, loud: str) -> None:
    method = tiny.build("mkd", teacher=teacher)
    assert method.record()["teacher"].startswith(loud)
    assert method.files(method.config) == {}


def test_a_whole_run_trains_the_teacher_on_people_first() -> None:
    method = tiny.build("mkd")
    born = copy.deepcopy(method.teacher.state_dict())
    ends = fit(method, tiny.readers(), Options())
    assert [(end.phase, end.epoch) for end in ends] == [
        ("teacher", 0), ("teacher", 1), ("distillation", 0), ("distillation", 1),
    ]  # fmt: skip
    assert not tiny.same_state(born, method.teacher.state_dict())
    assert not any(name.startswith("people") for name in method.state_dict())


@pytest.mark.slow
def test_digits() -> None:
    assert digits.mean_auc("mkd", **ON_DIGITS) >= 0.70  # 0.955, at 15 epochs 0.970
