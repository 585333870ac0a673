"""torchvision's ResNet-18 at any width, under torchvision's names (He et al., CVPR 2016)."""

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, ResNet

from mien.parts.inception_resnet import scaled
from mien.parts.pictures import quick


class Scaled(ResNet):  # type: ignore[misc]
    """torchvision's ResNet-18 with every stage `width` times as wide."""

    def __init__(self, width: float, classes: int) -> None:
        self._width = width
        super().__init__(BasicBlock, [2, 2, 2, 2])
        self.fc = nn.Linear(self._scaled(512), classes)

    def _scaled(self, planes: int) -> int:
        return scaled(planes, self._width)

    def _make_layer(
        self, block: type[BasicBlock], planes: int, blocks: int, stride: int = 1, dilate: bool = False
    ) -> nn.Sequential:
        layer: nn.Sequential = super()._make_layer(block, self._scaled(planes), blocks, stride, dilate)
        return layer

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, classes)."""
        out: Tensor = super().forward(quick(pixels) if self.training else pixels)
        return out
