"""The numbers of the HSNet specification, and each term by hand."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.functional import conv2d
from torch.utils.flop_counter import FlopCounterMode

from mien import methods
from mien.config import MienError, parse_section
from mien.methods.hsnet import RDIB, SDIB, DilatedTrunk, GuidedLevels, HSNet, HSNetConfig, dilated, enlarge
from mien.parts.inception_resnet import Stem
from mien.training.step import step
from tests import tiny

TINY = {
    "width": 0.1, "input_px": 75, "batch_size": 8, "epochs": 3, "learning_rate": 1e-3, "schedule": "cosine",
    "stem_from": "corpus", "knowledge_transfer": {"epochs": 2, "batch_size": 8, "blocks": [1, 1, 1]},
}  # fmt: skip
SEVEN = tuple("abcdefg")


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def on_meta(classes: tuple[str, ...] = SEVEN, **settings: object) -> HSNet:
    with torch.device("meta"):
        return HSNet(HSNetConfig(**settings), classes)


def network(method: HSNet, side: int) -> None:
    method.head(*method.trunk(method.stem(torch.empty((1, 3, side, side), device="meta"))))


@pytest.mark.parametrize(
    ("settings", "classes", "parameters", "gmacs"),
    [
        ({}, 7, 15_433_240, 1.891),
        ({}, 8, 15_436_187, 1.891),
        ({"fgal": False}, 7, 10_372_999, 1.738),
        ({"dib": False}, 7, 27_636_888, 3.293),
        ({"dib": False, "fgal": False, "ktl": False}, 7, 22_576_647, 3.140),
    ],
)
def test_size_and_cost_at_224(settings: dict, classes: int, parameters: int, gmacs: float) -> None:
    method = on_meta(tuple("abcdefgh"[:classes]), **settings)
    assert count(method) == parameters
    with FlopCounterMode(display=False) as counter:
        network(method.eval(), 224)
    assert counter.get_total_flops() / 2e9 == pytest.approx(gmacs, abs=5e-4)


@pytest.mark.parametrize(("side", "gmacs"), [(100, 0.255), (256, 2.563)])
def test_cost_at_other_sides(side: int, gmacs: float) -> None:
    with FlopCounterMode(display=False) as counter:
        network(on_meta().eval(), side)
    assert counter.get_total_flops() / 2e9 == pytest.approx(gmacs, abs=5e-4)


def test_trainable_with_a_frozen_stem() -> None:
    method = on_meta()
    moved = list(method.moved_by(method.phases()[-1], "all"))
    assert (len(moved), sum(p.numel() for p in moved)) == (99, 14_817_688)
    free = on_meta(ktl=False)
    assert sum(p.numel() for p in free.moved_by(free.phases()[-1], "all")) == 15_433_240


def test_size_of_each_block() -> None:
    trunk = DilatedTrunk().to("meta")
    sizes = [count(b) for b in (trunk.rdib_a, trunk.sdib_a, trunk.rdib_b, trunk.sdib_b, trunk.rdib_c)]
    assert sizes == [88_704, 1_272_320, 1_321_472, 3_560_448, 3_501_952]
    levels = GuidedLevels(trunk.channels, 7)
    assert [count(m) for m in (levels.top, levels.to_b, levels.to_a)] == [3_213_056, 1_606_528, 229_632]


@pytest.mark.parametrize(
    ("side", "levels"),
    [(75, (7, 3, 1)), (100, (10, 4, 1)), (160, (17, 8, 3)), (224, (25, 12, 5)), (256, (29, 14, 6))],
)
@pytest.mark.parametrize("dib", [True, False])
def test_sides_of_the_levels(side: int, levels: tuple[int, ...], dib: bool) -> None:
    method = on_meta(dib=dib, ktl=False)
    method.eval()  # one pixel of one face has no batch statistics
    maps = method.trunk(method.stem(torch.empty((1, 3, side, side), device="meta")))
    assert tuple(m.shape[-1] for m in maps) == levels
    assert tuple(m.shape[1] for m in maps) == (256, 896, 1792)


def test_74_pixels_are_refused_in_a_sentence() -> None:
    with pytest.raises(
        MienError, match=r"methods\.hsnet\.input_px is 74, but input should be greater than or equal to 75"
    ):
        parse_section(HSNetConfig, {"input_px": 74}, "params.yaml", "methods.hsnet")


@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_a_strided_branch_halves_any_side(dilation: int) -> None:
    branch = dilated(4, 4, 4, dilation, stride=2).to("meta")
    for side in range(7, 60):
        assert branch(torch.empty((1, 4, side, side), device="meta")).shape[-1] == (side - 1) // 2
    pooled = SDIB(4, 4, [4], pooled=4).to("meta")
    assert pooled(torch.empty((1, 4, 8, 8), device="meta")).shape == (1, 8, 3, 3)


@pytest.mark.parametrize(("dilation", "support"), [(1, 3), (2, 5), (3, 7)])
def test_what_a_dilated_branch_reads(dilation: int, support: int) -> None:
    branch = dilated(1, 1, 1, dilation, stride=1).eval()
    nn.init.ones_(branch[0].conv.weight)
    nn.init.ones_(branch[1].conv.weight)
    point = torch.zeros((1, 1, 15, 15))
    point[..., 7, 7] = 1
    touched = branch(point)[0, 0].nonzero()
    assert (touched.amax(dim=0) - touched.amin(dim=0) + 1).tolist() == [support, support]
    assert len(touched) == 9


def test_a_residual_block_without_branches_is_the_identity() -> None:
    block = RDIB(8, 4, [3, 3])
    for branch in block.branches:
        last = branch[-1] if isinstance(branch, nn.Sequential) else branch
        nn.init.zeros_(last.bn.weight)
    x = torch.rand((2, 8, 6, 6))
    assert torch.equal(block(x), x)
    assert torch.equal(block(x - 0.5), (x - 0.5).relu())


def levels_and_maps() -> tuple[GuidedLevels, tuple[torch.Tensor, ...]]:
    torch.manual_seed(0)
    maps = (torch.randn(2, 4, 25, 25), torch.randn(2, 6, 12, 12), torch.randn(2, 8, 5, 5))
    return GuidedLevels((4, 6, 8), 3), maps


def test_logits_are_the_weighted_sum_of_the_levels() -> None:
    guided, maps = levels_and_maps()
    out = guided(*maps)
    by_hand = sum(out.weights[:, j, None] * out.level_logits[:, j] for j in range(3))
    torch.testing.assert_close(out.logits, by_hand, rtol=0, atol=1e-6)
    assert ((out.weights > 0) & (out.weights < 1)).all()


def test_without_self_weights_each_level_counts_half() -> None:
    guided, maps = levels_and_maps()
    for weigh in guided.weigh:
        nn.init.zeros_(weigh.weight)
        nn.init.zeros_(weigh.bias)
    out = guided(*maps)
    assert torch.equal(out.weights, torch.full((2, 3), 0.5))
    torch.testing.assert_close(out.logits, 0.5 * out.level_logits.sum(dim=1), rtol=0, atol=1e-6)


def test_coarse_guides_fine_by_hand() -> None:
    guided, (a, b, c) = levels_and_maps()
    c = conv2d(c, guided.top.weight, guided.top.bias)
    b = b + conv2d(
        enlarge(c, b), guided.to_b.weight, guided.to_b.bias
    )  # convolving after enlarging is the same
    a = a + conv2d(enlarge(b, a), guided.to_a.weight, guided.to_a.bias)
    logits = torch.stack([f(m.mean((2, 3))) for f, m in zip(guided.classify, (a, b, c), strict=True)], dim=1)
    torch.testing.assert_close(
        guided(*levels_and_maps()[1]).level_logits, logits, rtol=0, atol=1e-5
    )  # order of sums


def test_nearest_enlargement_of_5_to_12() -> None:
    out = enlarge(torch.arange(5.0).view(1, 1, 1, 5), torch.empty(1, 1, 1, 12))
    assert out.flatten().int().tolist() == [0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 4, 4]


def test_gradients_of_the_levels_in_float64() -> None:
    guided = GuidedLevels((2, 3, 2), 2).double()
    maps = [
        torch.randn(1, n, s, s, dtype=torch.float64, requires_grad=True) for n, s in ((2, 5), (3, 2), (2, 1))
    ]
    assert torch.autograd.gradcheck(lambda *m: guided(*m).logits, maps)


def weights(folder, drop: str = "") -> str:
    state = {
        k: v for k, v in Stem(0.1).state_dict().items() if not k.endswith("num_batches_tracked") and k != drop
    }
    save_file({**state, "repeat_1.0.branch0.conv.weight": torch.ones(1)}, folder / "stem.safetensors")
    return str(folder / "stem.safetensors")


def test_knowledge_from_a_file_stands_still(tmp_path) -> None:
    method = tiny.build("hsnet", stem_from="file", stem_file=weights(tmp_path))
    (phase,) = method.phases()
    tiny.enter(method, phase)
    assert method.record()["stem"].startswith("file ")
    before = {n: v.clone() for n, v in method.state_dict().items()}
    optimizer = method.optimizer(phase, "all")
    step(
        method.train(),
        method,
        tiny.faces(8),
        phase,
        0,
        {"all": optimizer},
        torch.autocast("cpu", enabled=False),
    )
    for name, value in method.state_dict().items():
        if name.startswith("stem."):
            assert torch.equal(value, before[name]), name
        else:
            assert not torch.equal(value, before[name]), name
    assert all(p.grad is None for p in method.stem.parameters())
    assert all(p.grad is not None for p in method.moved_by(phase, "all"))


def test_a_file_without_a_stem_layer_is_refused(tmp_path) -> None:
    method = tiny.build("hsnet", stem_from="file", stem_file=weights(tmp_path, drop="conv2d_4b.bn.bias"))
    with pytest.raises(MienError, match=r"methods\.hsnet\.stem_file names .* lacks conv2d_4b\.bn\.bias"):
        method.start(method.phases()[0], 3)


def test_a_missing_file_is_noticed_before_any_work() -> None:
    with pytest.raises(
        MienError, match=r"methods\.hsnet\.stem_file names weights/.*\.pt, which is not there"
    ):
        methods.require_files("hsnet", HSNetConfig())
    methods.require_files("hsnet", HSNetConfig(ktl=False))


def test_knowledge_from_people_is_learnt_and_then_frozen() -> None:
    method = tiny.build("hsnet")
    transfer, classification = method.phases()
    assert (transfer.label, transfer.name) == ("subject", "knowledge_transfer")
    method.start(transfer, labels=5)
    stem = {id(p) for p in method.stem.parameters()}
    assert stem < {id(p) for p in method.moved_by(transfer, "all")}
    assert method.train().stem.training
    _, scores = method.eval().validate(tiny.faces(4), transfer)
    assert scores.shape == (4, 5)
    method.finish(transfer)
    assert not any(name.startswith("recognition") for name in method.state_dict())
    assert not stem & {id(p) for p in method.moved_by(classification, "all")}
    assert not method.train().stem.training
    assert method.trunk.training


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"stem_from": "random"}, "random"),
        ({"ktl": False}, "trained with the rest"),
        ({}, "identity corpus: the training people of the experiment's own corpus"),
        ({"knowledge_transfer": {"corpus": "people"}}, "identity corpus: people"),
    ],
)
def test_the_record_says_where_the_stem_comes_from(changed: dict, told: str) -> None:
    assert tiny.build("hsnet", **changed).record() == {"stem": told}


def test_a_random_stem_is_trained_for_it_knows_nothing() -> None:
    method = tiny.build("hsnet", stem_from="random")
    assert not method.stem_is_frozen
    assert len(list(method.moved_by(method.phases()[0], "all"))) == 99 + 18


def test_the_default_settings_are_the_papers() -> None:
    c = HSNetConfig()
    assert (c.input_px, c.batch_size, c.epochs, c.learning_rate, c.adam_betas) == (
        224,
        32,
        500,
        0.01,
        [0.9, 0.999],
    )
    assert (c.schedule, c.plateau_patience_epochs, c.augmentation.rotation_degrees) == ("plateau", 20, 5.0)


def test_levels_start_calm_and_their_linear_layers_learn_at_their_own_rate() -> None:
    method = tiny.build("hsnet", ktl=False, head_rate=0.05, learning_rate=0.002)
    levels = method.train().levels(tiny.faces(8))
    assert torch.equal(levels.weights, torch.full((8, 3), 0.5))
    slow = method.optimizer(method.phases()[0], "all").param_groups[1]
    assert slow["lr"] == pytest.approx(1e-4)
    linear = [*method.head.weigh.parameters(), *method.head.classify.parameters()]
    assert {id(p) for p in slow["params"]} == {id(p) for p in linear}


def test_levels_stay_awake_through_the_first_steps() -> None:
    method = tiny.build("hsnet", ktl=False, head_rate=0.05, learning_rate=0.003)
    (phase,) = method.phases()
    tiny.enter(method, phase)
    optimizers, off = {"all": method.optimizer(phase, "all")}, torch.autocast("cpu", enabled=False)
    for number in range(30):
        step(method.train(), method, tiny.faces(16, seed=number), phase, number, optimizers, off)
    assert method.levels(tiny.faces(16)).weights.mean(dim=0).amax() > 0.1


def test_weights_of_the_levels_are_told_by_class() -> None:
    method, faces = tiny.build("hsnet").eval(), tiny.faces(9)
    with torch.no_grad():
        told = method.examine([faces.select(range(4)), faces.select(range(4, 9))])
        weights = method.levels(faces).weights
    assert len(told) == 9
    for n, name in enumerate(tiny.CLASSES):
        mean = weights[faces.label == n].mean(dim=0)
        assert [told[f"weight_{v}_{name}"] for v in "abc"] == pytest.approx(mean.tolist(), abs=1e-5)
    assert tiny.build("hsnet", fgal=False).examine([faces]) == {}
