import pytest
import torch
from torch import nn

from mien.parts.inception_resnet import STEM_PREFIXES, Body, Stem, scaled

facenet = pytest.importorskip("facenet_pytorch.models.inception_resnet_v1")


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_counts_at_the_papers_size() -> None:
    assert count(Stem()) == 615_552
    assert count(Stem()) + count(Body()) == 22_564_096


def test_side_and_channel_trace_at_224() -> None:
    seen = []
    stem = Stem().to("meta")
    for layer in stem.children():
        layer.register_forward_hook(lambda module, inputs, out: seen.append((out.shape[1], out.shape[2])))
    out = stem(torch.empty((1, 3, 224, 224), device="meta"))
    assert seen == [(32, 111), (32, 109), (64, 109), (64, 54), (80, 54), (192, 52), (256, 25)]
    levels = Body().to("meta")(out)
    assert [tuple(level.shape[1:]) for level in levels] == [(256, 25, 25), (896, 12, 12), (1792, 5, 5)]


def test_stem_prefixes_are_all_its_parameters() -> None:
    assert {name.split(".")[0] for name, _ in Stem().named_parameters()} == set(STEM_PREFIXES)
    assert len(list(Stem().parameters())) == 18


def test_facenet_weights_give_facenet_features() -> None:
    theirs = facenet.InceptionResnetV1(classify=True, num_classes=2).eval()
    ours = nn.Sequential(Stem(), Body()).eval()
    state = theirs.state_dict()
    for part in ours:
        part.load_state_dict({name: state[name] for name in part.state_dict()})
    seen = []
    theirs.block8.register_forward_hook(lambda module, inputs, out: seen.append(out))
    pixels = torch.randn((1, 3, 80, 80), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        theirs(pixels)
        torch.testing.assert_close(ours(pixels)[2], seen[0], rtol=0, atol=0)


@pytest.mark.parametrize("width", [0.05, 0.1, 0.25, 0.3, 0.5, 0.75, 1.5])
def test_any_width_fits_together(width: float) -> None:
    stem, body = Stem(width).to("meta"), Body(width, (1, 1, 1)).to("meta")
    assert stem.channels == body.channels[0]
    levels = body(stem(torch.empty((2, 3, 75, 75), device="meta")))
    assert tuple(level.shape[1] for level in levels) == body.channels


def test_scaled_is_exact_at_full_width() -> None:
    assert [scaled(c, 1.0) for c in (32, 80, 192, 1792)] == [32, 80, 192, 1792]
    assert scaled(32, 0.01) == 4
