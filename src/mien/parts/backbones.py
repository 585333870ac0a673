"""Networks that several papers begin with, cut in two at the end of their third block of convolutions."""

from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.models.alexnet import AlexNet
from torchvision.models.vgg import cfgs, make_layers

from mien.parts.resnet import Scaled

BackboneName = Literal["resnet18", "alexnet", "vgg13", "vgg16"]
_VGG: dict[str, tuple[str, int]] = {"vgg13": ("B", 14), "vgg16": ("D", 16)}  # torchvision's list, where cut
_ALEXNET_CUT, _ALEXNET_END = 8, 12  # behind the third convolution's ReLU; before the last pooling


class Backbone(nn.Module):
    """Pictures to features by global average pooling of the last convolution, under torchvision's names.

    `network` holds what a torchvision weight file has, but no classifier. `width` is for resnet18 alone.
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
        elif name == "alexnet":
            self.network = nn.ModuleDict({"features": AlexNet().features})
            self._cut, self._end = _ALEXNET_CUT, _ALEXNET_END
            self.tapped, self.features = 384, 256
        else:
            layers, self._cut = _VGG[name]
            made = make_layers(cfgs[layers])
            self.network, self._end = nn.ModuleDict({"features": made}), len(made) - 1
            self.tapped, self.features = 256, 512
            self.apply(_he)

    def below(self, pixels: Tensor) -> Tensor:
        """(N, 3, H, W) -> the mid-level map (N, tapped, h, w): an eighth of the side, a quarter for VGG."""
        net = self.network
        if isinstance(net, Scaled):
            if self.training:  # the same sums in another order, in a sixth to a third less time on a CPU
                pixels = pixels.contiguous(memory_format=torch.channels_last)
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


def _he(module: nn.Module) -> None:
    """He's initialisation, as torchvision's VGG: without batch norm the default one fades out."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
