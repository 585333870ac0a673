from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.optim.lr_scheduler import ExponentialLR

from mien import methods
from mien.config import MienError, parse_section
from mien.methods.hs_ocfer import (
    HSOCFER,
    BottleneckModule,
    HSOCFERConfig,
    fusion,
    per_face,
    spatial_regularisation,
)
from mien.training.loop import Options, fit
from mien.training.step import step
from tests import digits, tiny

TINY = {"input_px": 32, "channels": [8, 16, 32], "z0_dim": 16, "batch_size": 8, "epochs": 3}
OFF = {"hierarchy": False, "spatial": False, "compact": False}
TABLE_4 = {  # parameters at the paper's size; the centre's 368 (128 without modules) included
    "plain auto-encoder": 6_702_723,
    "hierarchy": 7_682_643,
    "compact": 6_702_723 + 128,
    "hierarchy + spatial": 7_732_827,
    "hierarchy + compact": 7_682_643 + 368,
    "hierarchy + spatial + compact": 7_732_827 + 368,
}


def size(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def built(**changed) -> HSOCFER:
    method = tiny.build("hs_ocfer", **changed)
    assert isinstance(method, HSOCFER)
    return method


def normals(count: int, seed: int = 0):
    """Faces of the normal class alone."""
    return tiny.faces(count, classes=1, seed=seed)


def gradients(method: HSOCFER, term: str) -> dict[str, torch.Tensor | None]:
    """What each parameter gets from one term alone."""
    phase = tiny.gradient_phases(method)[0]
    method.train()(normals(6), phase, "all")[term].backward()
    return {name: parameter.grad for name, parameter in method.named_parameters()}


@pytest.mark.parametrize("variant", TABLE_4)
def test_the_rows_of_table_4_at_the_paper_s_size(variant: str) -> None:
    method = HSOCFER(HSOCFERConfig(**HSOCFER.variants[variant]), ("happy",))
    assert size(method) == TABLE_4[variant]


def test_shapes_and_sizes_at_224_px() -> None:
    method = HSOCFER(HSOCFERConfig(), ("happy",)).eval()
    assert [size(module) for module in method.network.bottlenecks] == [11_568, 46_176, 184_512, 737_664]
    assert size(method.head) == 50_184
    x, maps = torch.zeros(1, 3, 224, 224), []
    for stage in method.network.encoder:
        stage.register_forward_hook(lambda _, __, out: maps.append(out.shape[1:]))
    with torch.no_grad():
        z_d, rebuilt = method.network(x)
    assert maps == [(32, 112, 112), (64, 56, 56), (128, 28, 28), (256, 14, 14), (256, 7, 7)]
    assert method.network.sizes == [128, 16, 32, 64, 128]
    assert (z_d.shape, rebuilt.shape, method.head(z_d).shape) == ((1, 368), x.shape, (1, 136))


def test_smaller_profiles() -> None:
    at_64 = HSOCFER(HSOCFERConfig(input_px=64, channels=[32, 64, 128, 256]), ("happy",))
    at_32 = HSOCFER(HSOCFERConfig(input_px=32, channels=[16, 32, 64], z0_dim=64), ("happy",))
    assert (size(at_64.network) + size(at_64.head), at_64.network.sizes) == (2_708_443, [128, 16, 32, 64])
    assert (size(at_32.network), at_32.network.sizes) == (230_347, [64, 8, 16])


def test_a_recovered_map_has_the_shape_of_its_level() -> None:
    z, recovered = BottleneckModule(6, reduction=2, pool=2)(torch.rand(3, 6, 10, 10))
    assert (z.shape, recovered.shape) == ((3, 3 * 4), (3, 6, 10, 10))


def test_errors_by_hand() -> None:
    error = torch.tensor([[[1.0, 2.0], [2.0, 3.0]], [[0.0, 0.0], [0.0, 2.0]]])
    assert per_face(error, "mean").tolist() == [4.5, 1.0]
    assert per_face(error, "sum").tolist() == [18.0, 4.0]


def test_spatial_regularisation_by_hand() -> None:
    predicted = torch.tensor([[1.0, 2.0, 3.0, 4.0], [1.0, 1.0, 1.0, 1.0]], requires_grad=True)
    given = torch.tensor([[0.0, 0.0, torch.nan, torch.nan], [1.0, 1.0, 1.0, 3.0]])
    loss = spatial_regularisation(predicted, given, "mean")
    torch.testing.assert_close(loss, torch.tensor((5 / 2 + 4 / 4) / 2))
    torch.testing.assert_close(spatial_regularisation(predicted, given, "sum"), torch.tensor((5.0 + 4) / 2))
    loss.backward()
    assert predicted.grad[0].tolist() == [0.5, 1.0, 0.0, 0.0]  # the missing ones pull nowhere


def test_a_face_without_landmarks_still_counts_in_the_other_terms() -> None:
    method, faces = built().eval(), normals(4)
    phase = tiny.gradient_phases(method)[0]
    bare = replace(faces, points=torch.full_like(faces.points, torch.nan))
    with_points, without = method(faces, phase, "all"), method(bare, phase, "all")
    assert without["landmarks"] == 0 < with_points["landmarks"]
    assert without["reconstruction"] == with_points["reconstruction"]
    with pytest.raises(MienError, match="68 points"):
        method(replace(faces, points=None), phase, "all")


def test_the_terms_are_means_of_the_paper_s_squares() -> None:
    method, faces = built(lambda_reg=3.0, gamma_compact=0.5).eval(), normals(4)
    terms = method(faces, tiny.gradient_phases(method)[0], "all")
    pixels = method._pixels(faces)
    z_d, rebuilt = method.network(pixels)
    torch.testing.assert_close(terms["reconstruction"], (rebuilt - pixels).square().mean())
    torch.testing.assert_close(terms["compactness"], 0.5 * (z_d - method.mu).square().mean())
    points = (faces.points / 40).flatten(1)
    torch.testing.assert_close(terms["landmarks"], 3 * (method.head(z_d) - points).square().mean())


def test_sums_and_their_weights_are_the_same_loss_in_other_units() -> None:
    means, faces = built().eval(), normals(3)
    x, s, z = 3 * 32 * 32, 136, sum(means.network.sizes)
    sums = built(reduction="sum", lambda_reg=x / s, gamma_compact=x / z).eval()
    phase = tiny.gradient_phases(means)[0]
    for name, term in means(faces, phase, "all").items():
        torch.testing.assert_close(sums(faces, phase, "all")[name], x * term, rtol=1e-4, atol=0)


def test_reconstruction_reaches_neither_conv2_nor_the_head() -> None:
    found = gradients(built(), "reconstruction")
    for part in ("conv2.weight", "head.weight", "mu"):
        assert all(g is None for name, g in found.items() if name.endswith(part)), part
    for part in ("conv1.weight", "conv3.weight", "squeeze.weight"):
        assert all(g.abs().sum() > 0 for name, g in found.items() if name.endswith(part)), part


@pytest.mark.parametrize("term", ["landmarks", "compactness"])
def test_the_other_terms_do_not_reach_the_decoder(term: str) -> None:
    found = gradients(built(), term)
    for part in ("decoder", "stretch", "conv3"):
        assert all(g is None for name, g in found.items() if part in name), part
    assert all(g.abs().sum() > 0 for name, g in found.items() if name.endswith("conv2.weight"))


def test_every_variant_moves_all_that_its_losses_read() -> None:
    for variant, changed in HSOCFER.variants.items():
        method = built(**changed).train()
        phase = tiny.gradient_phases(method)[0]
        sum(method(normals(6), phase, "all").values()).backward()
        moved = {id(p) for p in method.moved_by(phase, "all")}
        for name, parameter in method.named_parameters():
            assert (parameter.grad is not None) == (id(parameter) in moved), f"{variant}: {name}"


def test_features_of_a_face_do_not_depend_on_its_batch() -> None:
    method, faces = built().eval(), normals(5)
    with torch.no_grad():
        whole = method.predict(faces)[2:3]
        torch.testing.assert_close(method.predict(faces.select([2])), whole, rtol=1e-5, atol=1e-7)


def test_the_learning_rate_after_two_hundred_epochs() -> None:
    method = built()
    phase = tiny.gradient_phases(method)[0]
    optimizer = method.optimizer(phase, "all")
    schedule = method.schedule(phase, "all", optimizer)
    assert isinstance(schedule, ExponentialLR)
    for _ in range(200):
        optimizer.step()
        schedule.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1.34e-4, rel=2e-3)


def test_the_centre_never_decays() -> None:
    method = built(weight_decay=0.1)
    phase = tiny.gradient_phases(method)[0]
    groups = method.optimizer(phase, "all").param_groups
    assert [(len(group["params"]), group["weight_decay"]) for group in groups][1] == (1, 0.0)
    assert groups[1]["params"][0] is method.mu
    assert groups[0]["weight_decay"] == 0.1


def test_a_fixed_centre_stays_where_it_was_put() -> None:
    method = built(mu_trainable=False)
    phase = tiny.gradient_phases(method)[0]
    before = method.mu.detach().clone()
    optimizers = {"all": method.optimizer(phase, "all")}
    step(method.train(), method, normals(8), phase, 0, optimizers, nullcontext())
    assert torch.equal(method.mu, before)


def test_the_centre_starts_at_the_mean_feature_away_from_zero() -> None:
    method, faces = built().eval(), normals(9)
    with torch.no_grad():
        mean = method.network(method._pixels(faces))[0].mean(dim=0)
        method.fit([faces.select(range(4)), faces.select(range(4, 9))], method.phases()[0])
    small = mean.abs() < 0.1
    assert 0 < small.sum() < len(small)
    torch.testing.assert_close(method.mu[~small], mean[~small], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(method.mu[small], torch.where(mean[small] < 0, -0.1, 0.1))


def solved(method: HSOCFER, faces) -> HSOCFER:
    with torch.no_grad():
        method.eval().fit([faces.select(range(4)), faces.select(range(4, len(faces)))], method.phases()[-1])
    return method


def test_the_prototype_is_the_mean_feature_of_the_training_faces() -> None:
    faces = normals(9)
    method = solved(built(), faces)
    with torch.no_grad():
        z_d = method.network(method._pixels(faces))[0].numpy()
    np.testing.assert_allclose(method.center.numpy(), z_d.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(method.spread.numpy(), z_d.std(axis=0), atol=1e-5)
    on_mu = solved(built(prototype="mu"), faces)
    assert torch.equal(on_mu.center, on_mu.mu)


def test_fusion_s_ends_and_units() -> None:
    distance, error = torch.rand(2, 50, generator=torch.Generator().manual_seed(0))
    assert torch.equal(fusion(distance, error, 0.0), distance)
    assert torch.equal(fusion(distance, error, 1.0), error)
    a = 0.3
    by_ratio = (distance + a / (1 - a) * error).argsort()
    assert torch.equal(fusion(distance, error, a).argsort(), by_ratio)


@pytest.mark.parametrize("units", ["mean", "sum", "train_norm"])
def test_scores_by_hand_in_each_unit(units: str) -> None:
    faces = normals(9)
    method = solved(built(fusion_units=units, alpha=0.25), faces)
    with torch.no_grad():
        fused, error, distance = method.predict(faces).unbind(dim=1)
        pixels = method._pixels(faces)
        z_d, rebuilt = method.network(pixels)
    squares = [(rebuilt - pixels).square().flatten(1), (z_d - method.center).square()]
    if units == "sum":
        expected = [square.sum(dim=1) for square in squares]
    else:
        expected = [square.mean(dim=1) for square in squares]
        if units == "train_norm":  # of the very faces that it was solved on
            expected = [value / value.mean() for value in expected]
    torch.testing.assert_close(torch.stack([error, distance]), torch.stack(expected), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(fused, 0.75 * distance + 0.25 * error)


def test_the_headline_is_the_rule_s_and_reconstruction_where_nothing_trained_the_distance() -> None:
    assert built().scores == ("fusion", "reconstruction", "compactness")
    for rule in ("fusion", "reconstruction", "compactness"):
        assert built(score_rule=rule).scores[0] == rule
        assert built(score_rule=rule, **OFF).scores[0] == "reconstruction"
    faces = normals(9)
    methods_ = [solved(built(score_rule=rule), faces) for rule in ("fusion", "compactness")]
    with torch.no_grad():
        found = [dict(zip(m.scores, m.predict(faces).unbind(dim=1), strict=True)) for m in methods_]
    for name in found[0]:
        assert torch.equal(found[0][name], found[1][name]), name


def test_dead_features_are_reported_for_their_level_alone() -> None:
    method = built()
    torch.nn.init.zeros_(method.network.bottlenecks[1].conv2.weight)
    facts = solved(method, normals(9)).record()
    assert facts["dead_features"] == 8
    assert "collapse: 8 dead features in z2" in facts["warnings"]
    assert solved(built(), normals(9)).record()["dead_features"] == 0


def test_a_fusion_in_which_one_part_hardly_counts_is_reported() -> None:
    faces = normals(9)
    assert [w[:21] for w in solved(built(alpha=0.0), faces).record()["warnings"]] == ["scale: reconstruction"]
    assert [w[:18] for w in solved(built(alpha=1.0), faces).record()["warnings"]] == ["scale: compactness"]
    balanced = built(fusion_units="train_norm", alpha=0.2)
    balanced.typical.copy_(torch.tensor([2.0, 4.0, 3.0, 1.0]))  # means of E and D, spreads of E and D
    assert balanced._fusion_scale() == pytest.approx(0.2 * (3 / 2) / (0.8 * (1 / 4)))
    assert not solved(built(alpha=0.0, score_rule="compactness"), faces).record()["warnings"]


def test_a_record_survives_saving(tmp_path) -> None:
    method = solved(built(), normals(9))
    methods.save(method, "hs_ocfer", tmp_path, {})
    assert methods.load(tmp_path)[0].record() == method.record()


@pytest.mark.parametrize(("count", "outputs"), [(68, 136), (49, 98), (5, 10)])
def test_landmarks_are_shares_of_the_crop(count: int, outputs: int) -> None:
    method, faces = built(num_landmarks=count), normals(2)
    oblong = replace(faces, faces=faces.faces[:, :, :30], points=torch.full_like(faces.points, 15.0))
    assert method.head.out_features == outputs
    given = method._landmarks(oblong).view(2, count, 2)
    torch.testing.assert_close(given, torch.tensor([15 / 40, 15 / 30]).expand(2, count, 2))


def test_a_grey_net_does_not_feel_the_order_of_colours() -> None:
    faces = normals(3)
    turned = replace(faces, faces=faces.faces.flip(1))
    for colour, same in (("grey", True), ("rgb", False)):
        method = built(colour=colour).eval()
        with torch.no_grad():
            one, other = method.predict(faces), method.predict(turned)
        assert torch.allclose(one, other, rtol=1e-4) is same


def test_minmax_brings_the_class_to_0_to_1_and_the_decoder_with_it() -> None:
    method, faces = built(minmax=True).eval(), normals(6)
    with torch.no_grad():
        method.fit([faces.select(range(3)), faces.select(range(3, 6))], method.phases()[0])
        pixels = method._pixels(faces)
        rebuilt = method.network(pixels)[1]
    torch.testing.assert_close(torch.stack(pixels.aminmax()), torch.tensor([0.0, 1.0]))
    assert 0 < rebuilt.min() < rebuilt.max() < 1


def test_levels_pooling_and_feature_norm_are_settings() -> None:
    method = built(hbm_levels=[2], hbm_pool=4, hbm_reduction=4, feature_norm=True).train()
    assert method.network.sizes == [16, 4 * 16]
    z_d = method.network(method._pixels(normals(8)))[0]
    torch.testing.assert_close(z_d.mean(dim=0), torch.zeros(80), rtol=0, atol=1e-5)
    assert not [n for n, _ in method.network.norm.named_parameters()]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"hierarchy": False}, "spatial needs hierarchy"),
        ({"input_px": 36}, "multiple of 8"),
        ({"hbm_levels": [3]}, "within 1..2"),
        ({"hbm_levels": [2, 1]}, "must rise"),
        ({"hbm_pool": 16}, "hbm_pool"),
        ({"compact": False, "prototype": "mu"}, "needs compact"),
        ({"num_landmarks": 12}, "num_landmarks"),
    ],
)
def test_settings_that_contradict_each_other(wrong: dict, message: str) -> None:
    with pytest.raises(MienError, match=message):
        parse_section(HSOCFERConfig, {**TINY, **wrong}, "TINY", "hs_ocfer")


def test_training_draws_features_to_the_centre_and_learns_landmarks() -> None:
    torch.manual_seed(0)
    method = built(epochs=60)
    parts = {"train": normals(24, seed=1), "validation": normals(8, seed=2)}
    reports = fit(method, lambda phase, part: tiny.MemoryReader(parts[part]), Options())
    first, last = reports[1].values, reports[-2].values
    for term in ("reconstruction", "landmarks", "compactness"):
        assert last[f"train_{term}"] < 0.5 * first[f"train_{term}"], term
    assert method.record()["centre_to_prototype"] < 0.3
    aliens = replace(tiny.faces(30, seed=3), label=torch.zeros(30, dtype=torch.int64))
    with torch.no_grad():
        scores = method.predict(aliens)
    normal = torch.arange(30) % 3 == 0
    for k, name in enumerate(method.scores):
        assert scores[normal, k].max() < scores[~normal, k].min(), name


@pytest.mark.slow
def test_home_ground() -> None:
    settings = {"input_px": 32, "channels": [16, 32, 64], "z0_dim": 64, "batch_size": 32, "epochs": 8}
    assert digits.mean_auc("hs_ocfer", **settings) >= 0.80  # reached: 0.988
