import math

import pytest
import torch
from torch import Tensor, nn

from mien import methods
from mien.config import MienError, parse_section
from mien.methods.contract import Method
from mien.methods.deep_svdd import Decoder, DeepSVDDConfig, distance, off_zero, reconstruction
from mien.shards.batch import Batch
from mien.training.loop import Options, fit
from tests import digits, tiny

TINY = {
    "input_px": 16,
    "channels": [4, 8, 8],
    "code": 8,
    "batch_size": 8,
    "autoencoder_epochs": 1,
    "svdd_epochs": 1,
    "learning_rate": 0.001,
}
AUTOENCODER, SVDD = tiny.build("deep_svdd").phases()


def normal(count: int, seed: int = 0) -> Batch:
    return tiny.faces(count, classes=1, seed=seed)


def aliens(count: int) -> Batch:
    both = tiny.faces(2 * count, classes=2, seed=3)
    return both.select(both.label.nonzero()[:, 0])


def ready(seed: int = 0, **changed: object) -> Method:
    """A method whose range and centre were taken from 60 normal faces."""
    method = tiny.build("deep_svdd", seed=seed, **changed).eval()
    with torch.no_grad():
        for phase in (AUTOENCODER, SVDD):
            method.refresh(lambda: [normal(60)], phase, 0)
    return method


def test_terms_by_hand() -> None:
    codes, centre = torch.tensor([[3.0, 4.0], [1.0, 0.0]]), torch.tensor([0.0, 0.0])
    assert distance(codes, centre).tolist() == [25.0, 1.0]
    assert distance(centre[None], centre).tolist() == [0.0]
    pixels = torch.tensor([1.0, 2.0, 3.0, 4.0]).view(1, 1, 2, 2)
    assert reconstruction(pixels, torch.zeros_like(pixels)).tolist() == [30.0]


def test_a_centre_keeps_off_zero_and_zero_goes_up() -> None:
    centre = torch.tensor([0.0, 0.05, -0.05, 0.3, -0.1, 0.1])
    expected = torch.tensor([0.1, 0.1, -0.1, 0.3, -0.1, 0.1])
    torch.testing.assert_close(off_zero(centre, 0.1), expected)
    assert torch.equal(off_zero(centre, 0.0), centre)


def test_gradients_of_the_distance() -> None:
    codes, centre = torch.randn(3, 4, dtype=torch.float64, requires_grad=True), torch.randn(4).double()
    assert torch.autograd.gradcheck(lambda c: distance(c, centre), codes)


@pytest.mark.parametrize(("variant", "parameters"), [(None, 1_880_416), ("64", 930_144), ("32", 520_544)])
def test_the_paper_has_that_many_parameters(variant, parameters) -> None:
    kind = methods.method_class("deep_svdd")
    method = kind(kind.Config(**(kind.variants[variant] if variant else {})), ("happy",))
    assert methods.learnt(method) == parameters
    assert not [name for name, _ in method.named_parameters() if "bias" in name]
    norms = [m for m in method.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert norms
    assert not any(norm.affine for norm in norms)


def test_at_32_px_the_code_has_128_numbers_and_is_cut_into_a_map_of_8() -> None:
    method = methods.build("deep_svdd", DeepSVDDConfig(input_px=32, channels=[32, 64, 128]), ("happy",))
    decoder = Decoder(method.config)
    with torch.no_grad():
        code = method.eval().encoder(torch.rand(2, 3, 32, 32))
        assert code.shape == (2, 128)
        assert decoder.eval()(code).shape == (2, 3, 32, 32)
    assert decoder.first[0].weight.shape == (8, 128, 5, 5)


def test_at_224_px_a_layer_spreads_the_code() -> None:
    assert Decoder(DeepSVDDConfig()).spread.weight.shape == (6272, 128)
    small = Decoder(DeepSVDDConfig(input_px=28, channels=[4, 4]))  # 7 x 7 as well
    assert small(torch.rand(2, 128)).shape == (2, 3, 28, 28)


def test_a_side_that_does_not_halve_is_refused() -> None:
    with pytest.raises(MienError, match="input_px must be a multiple of 8"):
        parse_section(DeepSVDDConfig, {"input_px": 20, "channels": [4, 4, 4]}, "p", "methods.deep_svdd")


def test_range_and_centre_come_from_the_whole_training_part() -> None:
    method = tiny.build("deep_svdd").eval()
    faces = normal(20)
    parts = [faces.select(range(12)), faces.select(range(12, 20))]
    with torch.no_grad():
        method.refresh(lambda: parts, AUTOENCODER, 0)
        scaled = method._scaled(faces.faces)
        assert scaled.min() == pytest.approx(0, abs=1e-6)
        assert scaled.max() == pytest.approx(1, abs=1e-6)
        method.refresh(lambda: parts, SVDD, 0)
        expected = off_zero(method.encoder(scaled).mean(dim=0), 0.1)
        torch.testing.assert_close(method.centre, expected, rtol=0, atol=1e-6)
        held = method.centre.clone()
        method.refresh(lambda: [normal(9, seed=8)], SVDD, 1)
    assert torch.equal(method.centre, held)


def test_the_score_is_a_hand_sum_and_does_not_feel_brightness_or_contrast() -> None:
    method, faces = ready(), normal(5)
    with torch.no_grad():
        code = method.encoder(method._scaled(faces.faces))
        by_hand = sum((code[0, k] - method.centre[k]) ** 2 for k in range(8))
        torch.testing.assert_close(method.predict(faces)[0, 0], by_hand)
        dim = (faces.faces // 4 * 2, faces.faces // 4 * 3 + 10)
        one, other = (method._contrast(pixels) for pixels in dim)
    torch.testing.assert_close(one, other, rtol=0, atol=1e-3)


def trained_on(count: int, **changed: object) -> Method:
    method = tiny.build("deep_svdd", **changed)
    parts = {"train": normal(count), "validation": normal(16, seed=7)}
    fit(method, lambda phase, part: tiny.MemoryReader(parts[part]), Options())
    return method


def test_the_centre_is_held_while_the_distance_falls() -> None:
    seen: list[Tensor] = []
    method = tiny.build("deep_svdd", svdd_epochs=6)
    parts = {"train": normal(64), "validation": normal(16, seed=7)}
    ends = fit(
        method,
        lambda phase, part: tiny.MemoryReader(parts[part]),
        Options(),
        after_step=lambda step, state: seen.append(method.centre.clone()),
    )
    assert not method.centre.requires_grad
    assert all(torch.equal(centre, method.centre) for centre in seen[-6 * 8 :])
    assert ends[-1].values["train_distance"] < 0.7 * ends[1].values["train_distance"]


def test_a_hundred_faces_have_a_hundred_scores() -> None:
    method = trained_on(64, svdd_epochs=4)
    with torch.no_grad():
        score = method.predict(tiny.faces(100, seed=5))[:, 0]
    assert len(score.unique()) > 95
    assert score.std() > 1e-8


def test_the_decoder_is_gone_when_the_autoencoder_is_over() -> None:
    assert not [name for name in trained_on(16).state_dict() if "decoder" in name]


def test_the_rate_drops_to_a_tenth() -> None:
    method = tiny.build("deep_svdd", svdd_drop_epoch=2)
    optimizer = method.optimizer(SVDD, "all")
    schedule = method.schedule(SVDD, "all", optimizer)
    rates = []
    for _ in range(4):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4])


def with_the_best_last_layer(bias: bool) -> tuple[Method, float]:
    """The last layer at the minimum of the loss, the others as they start; and the minimum."""
    method = ready(input_px=8, channels=[2], code=4, bias=bias)
    with torch.no_grad():
        norm, pixels = method.encoder.norms[0], method._scaled(normal(300).faces)
        for _ in range(20):
            norm.train()(method.encoder.convolutions[0](pixels))
        layer, method.encoder.to_code = method.eval().encoder.to_code, nn.Identity()
        hidden = method.encoder(pixels).double()
        hidden = torch.cat([hidden, torch.ones(300, 1)], dim=1) if bias else hidden
        best = torch.linalg.lstsq(hidden, method.centre.double().expand(300, -1)).solution.float()
        layer.weight.copy_(best[:32].T)
        if bias:
            layer.bias.copy_(best[32])
        method.encoder.to_code = layer
        return method, float(method(normal(300), SVDD, "all")["distance"])


def test_a_bias_lets_every_face_land_on_the_centre() -> None:
    """Without one the best network is not a constant one: f(0) = 0, and the centre is not 0."""
    without, least = with_the_best_last_layer(bias=False)
    collapsed, nothing = with_the_best_last_layer(bias=True)
    far = aliens(40)
    with torch.no_grad():
        assert nothing < 1e-9
        assert collapsed.predict(far).max() < 1e-7
        assert least > 1e-6
        assert without.predict(far).mean() > 100 * least
        assert without.predict(far).mean() > 1e-2


@pytest.mark.parametrize(("least", "collapsed"), [(0.0, True), (0.1, False)])
def test_a_centre_at_zero_lets_a_silent_network_be_perfect(least, collapsed) -> None:
    method = tiny.build("deep_svdd", centre_off_zero=least).eval()
    nn.init.zeros_(method.encoder.to_code.weight)
    with torch.no_grad():
        for phase in (AUTOENCODER, SVDD):
            method.refresh(lambda: [normal(20)], phase, 0)
    optimizer = method.optimizer(SVDD, "all")
    for _ in range(30):
        optimizer.zero_grad()
        loss = method.train()(normal(20), SVDD, "all")["distance"]
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        score = method.eval().predict(tiny.faces(30, seed=5))[:, 0]
    assert (score.std() < 1e-12) == collapsed
    assert math.isclose(loss.item(), 0, abs_tol=1e-12) == collapsed


@pytest.mark.slow
def test_digits() -> None:
    settings = {"input_px": 32, "channels": [8, 16, 32], "code": 32, "batch_size": 50, "learning_rate": 1e-3}
    epochs = {"autoencoder_epochs": 8, "autoencoder_drop_epoch": 6, "svdd_epochs": 8, "svdd_drop_epoch": 6}
    assert digits.mean_auc("deep_svdd", **settings, **epochs) >= 0.80  # 0.896; 0.938 after 15 + 10 epochs
