"""Inception-ResNet-V1 as face recognition uses it, in the layer names of facenet-pytorch's weight files.

Szegedy et al., *Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning*, 2017;
stem and widths are those of the VGGFace2 network `20180402-114759-vggface2.pt`. `width` scales every channel
count.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

BN_EPSILON = 1e-3
STEM_PREFIXES = ("conv2d_1a", "conv2d_2a", "conv2d_2b", "conv2d_3b", "conv2d_4a", "conv2d_4b")


def scaled(channels: int, width: float) -> int:
    """Channels at a width: the nearest multiple of 4, at least 4; exact at width 1."""
    return max(4, 4 * round(channels * width / 4))


class ConvBN(nn.Module):
    """A convolution without bias, batch norm, and ReLU unless told otherwise."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int | tuple[int, int], stride: int = 1,
        padding: int | tuple[int, int] = 0, dilation: int = 1, relu: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=BN_EPSILON)
        self.relu = nn.ReLU() if relu else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H', W')."""
        out: Tensor = self.relu(self.bn(self.conv(x)))
        return out


class Stem(nn.Module):
    """The first layers: 3xHxW -> 256 x h x w at width 1 (224 -> 25, 100 -> 10, 75 -> 7)."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        c32, c64, c80, c192, self.channels = (scaled(c, width) for c in (32, 64, 80, 192, 256))
        self.conv2d_1a = ConvBN(3, c32, 3, stride=2)
        self.conv2d_2a = ConvBN(c32, c32, 3)
        self.conv2d_2b = ConvBN(c32, c64, 3, padding=1)
        self.maxpool_3a = nn.MaxPool2d(3, stride=2)
        self.conv2d_3b = ConvBN(c64, c80, 1)
        self.conv2d_4a = ConvBN(c80, c192, 3)
        self.conv2d_4b = ConvBN(c192, self.channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, channels, h, w)."""
        for layer in self.children():
            x = layer(x)
        return x


class Residual(nn.Module):
    """x + scale * conv1x1(branches of x side by side), then ReLU: block35, block17 and block8."""

    def __init__(
        self, channels: int, branches: Sequence[nn.Module], widths: int, scale: float, relu: bool = True
    ) -> None:
        super().__init__()
        for number, branch in enumerate(branches):
            self.add_module(f"branch{number}", branch)
        self.branches, self.scale = len(branches), scale
        self.conv2d = nn.Conv2d(widths, channels, 1)
        self.relu = nn.ReLU() if relu else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Same shape in and out."""
        side_by_side = torch.cat([self.get_submodule(f"branch{i}")(x) for i in range(self.branches)], dim=1)
        out: Tensor = self.relu(x + self.scale * self.conv2d(side_by_side))
        return out


class Reduction(nn.Module):
    """Branches of stride 2 side by side, a 3x3 maximum last: mixed_6a and mixed_7a."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        for number, branch in enumerate([*branches, nn.MaxPool2d(3, stride=2)]):
            self.add_module(f"branch{number}", branch)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', floor((H-1)/2), floor((W-1)/2))."""
        return torch.cat([branch(x) for branch in self.children()], dim=1)


def block35(channels: int, width: float) -> Residual:
    """Three branches of up to two 3x3 convolutions, scale 0.17."""
    n = scaled(32, width)
    return Residual(
        channels,
        [
            ConvBN(channels, n, 1),
            nn.Sequential(ConvBN(channels, n, 1), ConvBN(n, n, 3, padding=1)),
            nn.Sequential(ConvBN(channels, n, 1), ConvBN(n, n, 3, padding=1), ConvBN(n, n, 3, padding=1)),
        ],
        3 * n,
        scale=0.17,
    )


def crossed(channels: int, n: int, length: int, scale: float, relu: bool = True) -> Residual:
    """block17 (length 7) and block8 (length 3): a 1x1 branch, and one of a row and a column convolution."""
    across = ConvBN(n, n, (1, length), padding=(0, length // 2))
    down = ConvBN(n, n, (length, 1), padding=(length // 2, 0))
    branches = [ConvBN(channels, n, 1), nn.Sequential(ConvBN(channels, n, 1), across, down)]
    return Residual(channels, branches, 2 * n, scale, relu)


class Body(nn.Module):
    """All behind the stem up to pooling, with taps behind each stage: channels 256, 896, 1792 at width 1.

    `blocks` says how many block35, block17 and block8 it has (5, 10, 5); a last block8 without ReLU follows.
    """

    def __init__(self, width: float = 1.0, blocks: Sequence[int] = (5, 10, 5)) -> None:
        super().__init__()
        n192, n256, n384, n128 = (scaled(c, width) for c in (192, 256, 384, 128))
        a = n256
        b, c = n384 + n256 + a, n384 + 2 * n256 + n384 + n256 + a
        self.channels = (a, b, c)
        self.repeat_1 = nn.Sequential(*(block35(a, width) for _ in range(blocks[0])))
        self.mixed_6a = Reduction(
            ConvBN(a, n384, 3, stride=2),
            nn.Sequential(
                ConvBN(a, n192, 1), ConvBN(n192, n192, 3, padding=1), ConvBN(n192, n256, 3, stride=2)
            ),
        )
        self.repeat_2 = nn.Sequential(*(crossed(b, n128, 7, scale=0.10) for _ in range(blocks[1])))
        self.mixed_7a = Reduction(
            nn.Sequential(ConvBN(b, n256, 1), ConvBN(n256, n384, 3, stride=2)),
            nn.Sequential(ConvBN(b, n256, 1), ConvBN(n256, n256, 3, stride=2)),
            nn.Sequential(
                ConvBN(b, n256, 1), ConvBN(n256, n256, 3, padding=1), ConvBN(n256, n256, 3, stride=2)
            ),
        )
        self.repeat_3 = nn.Sequential(*(crossed(c, n192, 3, scale=0.20) for _ in range(blocks[2])))
        self.block8 = crossed(c, n192, 3, scale=1.0, relu=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, 256, h, w) -> the maps behind the three stages, each half the side of the one before."""
        a = self.repeat_1(x)
        b = self.repeat_2(self.mixed_6a(a))
        c = self.block8(self.repeat_3(self.mixed_7a(b)))
        return a, b, c


def he(module: nn.Module) -> None:
    """He's initialisation (kaiming normal, fan-in) with biases at 0; batch norm keeps 1 and 0."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class Recognition(nn.Module):
    """What sits on the stem while it learns to tell people apart: an Inception-ResNet-V1 body."""

    def __init__(self, width: float, blocks: Sequence[int], people: int) -> None:
        super().__init__()
        self.body = Body(width, blocks)
        self.classify = nn.Linear(self.body.channels[-1], people)
        self.apply(he)

    def forward(self, x: Tensor) -> Tensor:
        """The stem's map -> logits (N, people)."""
        logits: Tensor = self.classify(self.body(x)[2].mean(dim=(2, 3)))
        return logits
