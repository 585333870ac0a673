import copy
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import resnet18

from mien.config import MienError, parse_section
from mien.methods import igd
from mien.parts.ssim import ms_ssim
from mien.training.loop import Options, fit
from mien.training.step import step
from tests import digits, tiny

TINY = {
    "teacher": "trained", "teacher_training": {"epochs": 2, "batch_size": 8}, "teacher_width": 0.125,
    "latent": 8, "channels": [8, 8, 4], "input_px": 32, "batch_size": 8, "epochs": 2, "learning_rate": 1e-3,
}  # fmt: skip
ON_DIGITS = {
    "teacher": "random", "teacher_width": 0.125, "latent": 32, "channels": [32, 32, 16], "input_px": 32,
    "epochs": 6, "batch_size": 16, "learning_rate": 5e-3, "augmentation": {"flip": 0, "rotation_degrees": 0},
}  # fmt: skip


@pytest.fixture(scope="module")
def paper_size() -> igd.IGD:
    return igd.IGD(igd.IGDConfig(), ("happy",)).eval()


def describing(**changed: object) -> tuple[igd.IGD, igd.Phase]:
    method = tiny.build("igd", **changed)
    phase = method.phases()[-1]
    tiny.enter(method, phase)
    return method, phase


def test_the_paper_s_sizes(paper_size: igd.IGD) -> None:
    def size(part: nn.Module) -> int:
        return sum(p.numel() for p in part.parameters())

    assert size(paper_size.encoder) == 11_176_512  # torchvision's, without its classifier
    assert size(paper_size.project) == 65_664
    assert size(paper_size.decoder) == 10_721_219  # 10,724,099 with the biases that batch norm cancels
    assert size(paper_size.critic) == 15_872_001


def test_the_paper_s_shapes(paper_size: igd.IGD) -> None:
    with torch.no_grad():
        z = paper_size.encode(torch.zeros(1, 3, 224, 224))
        assert z.shape == (1, 128)
        assert paper_size.decoder.start == (512, 7, 7)
        assert paper_size.decoder(z).shape == (1, 3, 224, 224)
        assert paper_size.critic(torch.zeros(1, 3, 224, 224)).shape == (1,)


def test_reconstruction_by_hand() -> None:
    x = torch.rand((2, 3, 16, 16), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(igd.reconstruction(x, x, 0.85), torch.zeros(2), rtol=0, atol=1e-5)
    flat = igd.reconstruction(x, x + 1, 0.0)  # L1 alone
    torch.testing.assert_close(flat, torch.full((2,), 1 / igd.IMAGENET_RANGE))
    unlike = igd.reconstruction(x, -x, 0.85)
    torch.testing.assert_close(
        unlike, 0.85 * (1 - ms_ssim(x, -x, igd.IMAGENET_RANGE)) + 0.15 * igd.reconstruction(x, -x, 0.0)
    )
    assert (unlike > 0.15).all()


def test_gaussian_by_hand() -> None:
    z, center = torch.tensor([[3.0, 4.0], [1.0, 1.0]]), torch.ones(2)
    found = igd.gaussian(z, center, torch.tensor(6.5))
    torch.testing.assert_close(found, torch.tensor([1 - torch.e**-2.0, 0.0]))  # |(2, 3)|^2 = 13


def test_sigma_is_a_mean_over_batches_and_at_least_1() -> None:
    z = torch.tensor([[3.0], [1.0], [0.1], [0.1]])
    torch.testing.assert_close(igd.sigma_of(z, torch.zeros(1), 2), torch.tensor(3.0))  # (5 + 1) / 2
    torch.testing.assert_close(igd.sigma_of(z / 100, torch.zeros(1), 2), torch.tensor(1.0))


def test_at_alpha_0_the_code_is_its_partner_s() -> None:
    z = torch.arange(6.0).view(3, 2)
    torch.testing.assert_close(igd.interpolated(z, torch.zeros(3), igd.opposite(z, False)), z.flip(0))
    halves = igd.interpolated(z, torch.full((3,), 0.5), igd.opposite(z, False))
    torch.testing.assert_close(halves, torch.tensor([[2.0, 3.0]]).expand(3, 2))


def opposite_of_this_rank(rows: int) -> tuple[list[float], list[float]]:
    """This rank's partners, and its gradient where partner k of the global batch weighs k."""
    first = torch.distributed.get_rank() * rows
    own = torch.arange(2.0 * rows)[first : first + rows, None].requires_grad_()
    partner = igd.opposite(own, True)
    (partner[:, 0] * torch.arange(first, first + rows)).sum().backward()
    return partner[:, 0].tolist(), own.grad[:, 0].tolist()


def test_the_partner_and_its_gradient_cross_ranks(two_ranks) -> None:
    (first, first_grad), (second, second_grad) = two_ranks(opposite_of_this_rank, 3)
    assert [*first, *second] == [5.0, 4.0, 3.0, 2.0, 1.0, 0.0]
    assert [*first_grad, *second_grad] == [5.0, 4.0, 3.0, 2.0, 1.0, 0.0]


def test_alpha_is_a_half_at_most_and_each_face_s_own() -> None:
    method, phase = describing()
    seen = []
    method._critic_terms = lambda pixels, alpha: seen.append(alpha) or {}
    faces = tiny.faces(64)
    method(faces, phase, igd.CRITIC)
    method(replace(faces.select([5]), total=64), phase, igd.CRITIC)
    assert 0 <= seen[0].min() < 0.1
    assert 0.4 < seen[0].max() <= 0.5
    assert torch.equal(seen[0][5:6], seen[1])


def test_the_critic_s_terms_by_hand() -> None:
    method, _ = describing()
    method.critic = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 1), nn.Flatten(0))
    nn.init.zeros_(method.critic[1].weight)
    nn.init.constant_(method.critic[1].bias, 0.25)
    terms = method._critic_terms(torch.zeros(2, 3, 32, 32), torch.tensor([0.0, 0.5]))
    torch.testing.assert_close(terms["critic_alpha"], torch.tensor(0.0625))
    torch.testing.assert_close(terms["critic_true"], torch.tensor(0.0625))


def test_training_leaves_every_tensor_of_the_encoder_alone() -> None:
    method, phase = describing()
    before = copy.deepcopy(method.encoder.state_dict())
    optimizers = {turn: method.optimizer(phase, turn) for turn in method.turns(phase, 0)}
    running = method.decoder.norm.running_mean.clone()
    for number in range(5):
        step(method.train(), method, tiny.faces(8, seed=number), phase, number, optimizers, nullcontext())
    assert tiny.same_state(before, method.encoder.state_dict())
    assert not torch.equal(running, method.decoder.norm.running_mean), "the decoder's batch norm must train"
    method.encoder.train()  # what the frozen mode prevents
    method(tiny.faces(8), phase, igd.GENERATOR)
    assert not tiny.same_state(before, method.encoder.state_dict())


def test_centre_then_sigma_every_so_many_epochs() -> None:
    method, phase = describing(refresh_epochs=10)
    faces = tiny.faces(12, seed=3)
    with torch.no_grad():
        method.eval()
        z = method.encode(method._pixels(faces))
        old = method.center.clone()
        method.refresh(lambda: [faces.select(range(5)), faces.select(range(5, 12))], phase, 9)
        assert torch.equal(method.center, old)
        method.refresh(lambda: [faces.select(range(5)), faces.select(range(5, 12))], phase, 10)
    mean = z.mean(dim=0)
    far = mean.abs() >= 0.1
    torch.testing.assert_close(method.center[far], mean[far], rtol=0, atol=1e-5)
    torch.testing.assert_close(method.center[~far].abs(), torch.full((int((~far).sum()),), 0.1))
    torch.testing.assert_close(method.sigma, igd.sigma_of(z, method.center, 8))
    assert method.sigma >= 1


def test_the_score_is_half_of_each() -> None:
    method, _ = describing()
    with torch.no_grad():
        score = method.eval().predict(tiny.faces(6))
    torch.testing.assert_close(score[:, 0], (score[:, 1] + score[:, 2]) / 2)
    assert (score >= 0).all()
    assert (score[:, 2] <= 1).all()


def test_a_file_fills_the_encoder(tmp_path) -> None:
    given = resnet18()
    save_file(given.state_dict(), tmp_path / "w.safetensors")
    asked = {"teacher": "file", "teacher_file": str(tmp_path / "w.safetensors")}
    method = tiny.build("igd", **asked, teacher_width=1.0)
    (phase,) = method.phases()
    method.start(phase, 1)
    assert torch.equal(method.encoder.layer4[1].conv2.weight, given.layer4[1].conv2.weight)
    assert method.record()["encoder"].startswith("file ")
    assert method.files(method.config) == {"teacher_file": tmp_path / "w.safetensors"}
    with pytest.raises(MienError, match=r"methods\.igd\.teacher_file"):
        tiny.build("igd", **asked).start(phase, 1)


@pytest.mark.parametrize(("teacher", "loud"), [("trained", "NOT IMAGENET"), ("random", "NOT PRE-TRAINED")])
def test_an_encoder_that_is_not_imagenet_s_is_told_loudly(teacher: str, loud: str) -> None:
    assert tiny.build("igd", teacher=teacher).record()["encoder"].startswith(loud)


def test_sides_must_fit_the_levels() -> None:
    with pytest.raises(MienError, match="input_px"):
        parse_section(igd.IGDConfig, {"input_px": 112, "channels": [8] * 5}, "tests", "igd")


def test_a_whole_run_ends_with_a_falling_rate() -> None:
    method = tiny.build("igd")
    born = copy.deepcopy(method.encoder.state_dict())
    ends = fit(method, tiny.readers(), Options())
    assert [(end.phase, end.epoch) for end in ends] == [
        ("teacher", 0), ("teacher", 1), ("description", 0), ("description", 1),
    ]  # fmt: skip
    assert ends[3].values["learning_rate"] == pytest.approx(1e-3 * 0.5**0.9)
    assert not tiny.same_state(born, method.encoder.state_dict())


@pytest.mark.slow
def test_digits() -> None:
    assert digits.mean_auc("igd", **ON_DIGITS) >= 0.80  # 0.849; 0.898 after 10 epochs at width 0.25
