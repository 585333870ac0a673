"""IDFERM's network: inception groups, an expression branch and a metric branch that listens to it (Fig. 4).

Liu, Kumar, Jia and You, Pattern Recognition 88, 2019. The paper names the layers and not their sizes; these
follow Mollahosseini et al. (WACV 2016). IDFERM and its rivals share it.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from mien.parts.inception_resnet import scaled

CALM = 0.01  # spread of the classifier's first weights
MAPS_PX = 4  # side of the last maps of faces of 60 px


class Group(nn.Module):
    """Parallel branches 1x1, 1x1-3x3 and 1x1-5x5 side by side."""

    def __init__(
        self, inputs: int, one: int, three: tuple[int, int], five: tuple[int, int], slope: float
    ) -> None:
        super().__init__()
        self.channels = one + three[1] + five[1]
        self.one = nn.Conv2d(inputs, one, 1)
        self.three = nn.Sequential(
            nn.Conv2d(inputs, three[0], 1), nn.LeakyReLU(slope), nn.Conv2d(*three, 3, padding=1)
        )
        self.five = nn.Sequential(
            nn.Conv2d(inputs, five[0], 1), nn.LeakyReLU(slope), nn.Conv2d(*five, 5, padding=2)
        )
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, channels, H, W)."""
        return leaky_relu(torch.cat([self.one(x), self.three(x), self.five(x)], dim=1), self.slope)


class ExpressionNetwork(nn.Module):
    """Grey faces (N, 1, 60, 60) to logits of expressions and to features f for a metric.

    Without `metric` it ends at the logits. `start` is the squared length of f at the start, if the layers
    before keep theirs.
    """

    def __init__(
        self,
        classes: int,
        width: float,
        dropout: float,
        slope: float,
        metric: bool = True,
        start: float = 4.0,
    ) -> None:
        super().__init__()
        self.slope = slope
        self.convolutions, channels = _convolutions(width, slope)
        flat, full, embedded = channels * MAPS_PX**2, scaled(512, width), scaled(256, width)
        self.embedding = embedded
        self.fc2 = nn.Linear(flat, full)
        self.expression = nn.Linear(full, classes)
        self.dropout = nn.Dropout(dropout)
        if metric:
            self.fc3 = nn.Linear(flat, full)
            self.fc4 = nn.Linear(2 * full, full, bias=False)  # P', eq. 17
            self.fc5 = nn.Linear(full, embedded)
        self.apply(self._he)
        nn.init.normal_(self.expression.weight, std=CALM)  # He's would start far above the loss of no opinion
        if metric:  # after He alone features would lie far beyond the radii of any metric here
            with torch.no_grad():
                self.fc5.weight.mul_((start / (2 * embedded)) ** 0.5)

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 1, 60, 60) -> logits (N, C) and features f (N, D)."""
        flat = self.convolutions(faces).flatten(1)
        own = self.dropout(leaky_relu(self.fc2(flat), self.slope))
        other = self.dropout(leaky_relu(self.fc3(flat), self.slope))
        connected = leaky_relu(self.fc4(torch.cat([own, other], dim=1)), self.slope)
        return self.expression(own), self.fc5(connected)

    def logits(self, faces: Tensor) -> Tensor:
        """The expression branch alone: (N, 1, 60, 60) -> (N, C)."""
        flat = self.convolutions(faces).flatten(1)
        found: Tensor = self.expression(self.dropout(leaky_relu(self.fc2(flat), self.slope)))
        return found

    def _he(self, module: nn.Module) -> None:
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, a=self.slope, nonlinearity="leaky_relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _convolutions(width: float, slope: float) -> tuple[nn.Sequential, int]:
    """Two convolutions and three groups, each side about halved by a pool: 60 -> 15 -> 8 -> 4."""

    def n(channels: int) -> int:
        return scaled(channels, width)

    def pool() -> nn.MaxPool2d:
        return nn.MaxPool2d(3, stride=2, padding=1)

    first = Group(n(192), n(64), (n(96), n(128)), (n(16), n(32)), slope)
    second = Group(first.channels, n(128), (n(128), n(192)), (n(32), n(96)), slope)
    third = Group(second.channels, n(192), (n(96), n(208)), (n(16), n(48)), slope)
    layers = nn.Sequential(
        nn.Conv2d(1, n(64), 7, stride=2, padding=3),
        nn.LeakyReLU(slope),
        pool(),
        nn.Conv2d(n(64), n(192), 3, padding=1),
        nn.LeakyReLU(slope),
        pool(),
        first,
        second,
        pool(),
        third,
    )
    return layers, third.channels
