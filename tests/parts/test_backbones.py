"""Backbones cut in two: shapes and parameters at the papers' size."""

import pytest
import torch
from torchvision.models import alexnet, resnet18, vgg13, vgg16

from mien.parts.backbones import Backbone


@pytest.mark.parametrize(
    ("name", "tapped", "features", "parameters"),
    [
        ("resnet18", (128, 28, 28), 512, 11_176_512),
        ("alexnet", (384, 13, 13), 256, 2_469_696),
        ("vgg13", (256, 56, 56), 512, 9_404_992),
        ("vgg16", (256, 56, 56), 512, 14_714_688),
    ],
)
def test_shapes_and_parameters(name: str, tapped: tuple[int, ...], features: int, parameters: int) -> None:
    with torch.device("meta"):
        net = Backbone(name)
        middle = net.below(torch.zeros(1, 3, 224, 224))
        assert middle.shape[1:] == tapped
        assert (net.tapped, net.features) == (tapped[0], features)
        assert net.above(middle).shape == (1, features)
    assert sum(p.numel() for p in net.parameters()) == parameters


@pytest.mark.parametrize(
    ("name", "made"), [("resnet18", resnet18), ("alexnet", alexnet), ("vgg13", vgg13), ("vgg16", vgg16)]
)
def test_names_are_torchvisions(name: str, made) -> None:
    with torch.device("meta"):
        own, theirs = Backbone(name).network.state_dict(), made(num_classes=7).state_dict()
    lacking = {n for n in theirs if n not in own}
    assert all(n.startswith(("fc.", "classifier.")) for n in lacking)
    assert all(own[n].shape == theirs[n].shape for n in own)


def test_it_is_resnet18_up_to_its_classifier() -> None:
    torch.manual_seed(0)
    own, theirs = Backbone("resnet18").eval(), resnet18(num_classes=7).eval()
    theirs.load_state_dict(own.network.state_dict(), strict=False)
    theirs.fc = torch.nn.Identity()
    picture = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(own(picture), theirs(picture), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "tapped", "features"),
    [("resnet18", 32, 128), ("alexnet", 96, 64), ("vgg13", 64, 128), ("vgg16", 64, 128)],
)
def test_at_a_quarter_of_the_width_maps_are_as_large_and_a_quarter_as_deep(
    name: str, tapped: int, features: int
) -> None:
    with torch.device("meta"):
        net, whole = Backbone(name, 0.25), Backbone(name)
        middle, large = (n.below(torch.zeros(1, 3, 64, 64)) for n in (net, whole))
        assert middle.shape == (1, tapped, *large.shape[2:])
        assert net.above(middle).shape == (1, features)
    assert (net.tapped, net.features) == (tapped, features)
