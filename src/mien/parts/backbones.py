"""Networks that several papers begin with, cut in two at the end of their third block of convolutions."""

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.models.alexnet import AlexNet
from torchvision.models.vgg import cfgs, make_layers

from mien.parts.inception_resnet import scaled
from mien.parts.pictures import quick
from mien.parts.resnet import Scaled

BackboneName = Literal["resnet18", "alexnet", "vgg13", "vgg16"]
CUTS = {"alexnet": 8, "vgg13": 14, "vgg16": 16}  # behind the ReLU of the third convolution or block
VGG = {"vgg13": "B", "vgg16": "D"}  # torchvision's lists of widths


class Backbone(nn.Module):
    """Pictures to features by global average pooling of the last convolution, under torchvision's names.

    `network` holds what a torchvision weight file has, but no classifier. `width` is that of every layer.
    """

    def __init__(self, name: BackboneName, width: float = 1.0) -> None:
        super().__init__()
        self.network: nn.Module
        self._cut, self._end = 0, 0
        if name == "resnet18":
            resnet = Scaled(width, 1)
            self.tapped = int(resnet.layer2[-1].conv2.out_channels)  # channels of `below`
            self.features = resnet.fc.in_features
            del resnet.fc
            self.network = resnet
        else:
            layers = _layers_of(name, width)
            self._cut, self._end = CUTS[name], len(layers) - 1  # all but the last pooling
            self.network = nn.ModuleDict({"features": layers})
            self.tapped, self.features = (_channels(layers[:end]) for end in (self._cut, self._end))

    def below(self, pixels: Tensor) -> Tensor:
        """(N, 3, H, W) -> the mid-level map (N, tapped, h, w): an eighth of the side, a quarter for VGG."""
        net, pixels = self.network, quick(pixels) if self.training else pixels
        if isinstance(net, Scaled):
            out: Tensor = net.layer2(net.layer1(net.maxpool(net.relu(net.bn1(net.conv1(pixels))))))
        else:
            out = self._layers(pixels, 0, self._cut)
        return out

    def above(self, tapped: Tensor) -> Tensor:
        """The mid-level map -> (N, features)."""
        net = self.network
        if isinstance(net, Scaled):
            last: Tensor = net.layer4(net.layer3(tapped))
        else:
            last = self._layers(tapped, self._cut, self._end)
        return last.mean(dim=(2, 3))

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, features)."""
        return self.above(self.below(pixels))

    def _layers(self, x: Tensor, first: int, end: int) -> Tensor:
        assert isinstance(self.network, nn.ModuleDict)
        layers = self.network["features"]
        assert isinstance(layers, nn.Sequential)
        out: Tensor = layers[first:end](x)
        return out


def _layers_of(name: BackboneName, width: float) -> nn.Sequential:
    """AlexNet's or a VGG's convolutions as torchvision stacks them, each `width` times as wide."""
    with torch.device("meta"):  # its shapes alone: AlexNet's classifier, say, takes most of a second to fill
        stacked = AlexNet().features if name == "alexnet" else make_layers(cfgs[VGG[name]])
    layers: list[nn.Module] = []
    for layer in stacked:
        if isinstance(layer, nn.Conv2d):
            assert not isinstance(layer.padding, str)
            inputs, outputs = _channels(layers) if layers else 3, scaled(layer.out_channels, width)
            square = (layer.kernel_size[0], layer.stride[0], layer.padding[0])
            layer = nn.Conv2d(inputs, outputs, *square)
        layers.append(layer)
    made = nn.Sequential(*layers)
    return made if name == "alexnet" else made.apply(_he)


def _channels(layers: Iterable[nn.Module]) -> int:
    """What the last convolution of these gives."""
    return [layer.out_channels for layer in layers if isinstance(layer, nn.Conv2d)][-1]


def _he(module: nn.Module) -> None:
    """He's initialisation, as torchvision's VGG: without batch norm the default one fades out."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
