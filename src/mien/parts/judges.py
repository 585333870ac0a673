"""Networks that know people: their maps tell whether a generated face is the same one's (IDFERM, eq. 2, 6).

`VGGFace` is VGG-16 up to its fifth convolution (Parkhi et al., BMVC 2015), `LightCNN4` the four-layer network
of Wu et al. (*A Light CNN for Deep Face Representation*, first version). Both read grey faces in -1..1.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate, max_pool2d

from mien.parts.inception_resnet import he, scaled

VGG_MEAN = (129.186, 104.762, 93.594)  # of the VGG-Face weights: RGB in 0..255
VGG_UNIT = 128.0
VGG_LAYERS = ("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1")
VGG_CHANNELS = (64, 64, 128, 128, 256)
POOLED = ("conv1_2", "conv2_2")  # a pool follows


class VGGFace(nn.Module):
    """VGG-16 up to conv3_1, "the 5th conv layer"; layer names of the published weights' PyTorch form."""

    def __init__(self, px: int, width: float) -> None:
        super().__init__()
        self.px, inputs = px, 3
        for name, full in zip(VGG_LAYERS, VGG_CHANNELS, strict=True):
            self.add_module(name, nn.Conv2d(inputs, scaled(full, width), 3, padding=1))
            inputs = scaled(full, width)
        self.channels = inputs
        self.register_buffer("mean", torch.tensor(VGG_MEAN)[None, :, None, None], persistent=False)
        self.mean: Tensor
        self.apply(he)
        with torch.no_grad():
            next(self.parameters()).div_(VGG_UNIT)  # conv1_1: it reads 0..255

    def forward(self, faces: Tensor) -> Tensor:
        """(N, 1, H, W) in -1..1 -> phi_5 (N, 256, px / 4, px / 4)."""
        x = _resized(faces, self.px).expand(-1, 3, -1, -1) * 127.5 + 127.5 - self.mean
        for name in VGG_LAYERS:
            x = self.get_submodule(name)(x).relu()
            x = max_pool2d(x, 2) if name in POOLED else x
        return x


class LightCNN4(nn.Module):
    """Max-feature-map convolutions 9x9, 5x5, 5x5, 4x4 and a layer of 256; 4,098,048 parameters at 128 px."""

    def __init__(self, px: int, width: float) -> None:
        super().__init__()
        self.px, inputs = px, 1
        for number, (kernel, full) in enumerate(((9, 48), (5, 96), (5, 128), (4, 192)), start=1):
            self.add_module(f"conv{number}", nn.Conv2d(inputs, 2 * scaled(full, width), kernel))
            inputs = scaled(full, width)
        self.size = scaled(256, width)
        self.apply(he)
        with torch.no_grad():
            flat = self._maps(torch.zeros(1, 1, px, px)).numel()
        self.fc1 = nn.Linear(flat, 2 * self.size)
        he(self.fc1)

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 1, H, W) in -1..1 -> the last two activations: pool4 (N, 192, 5, 5) and fc1 (N, 256)."""
        maps = self._maps(_resized(faces, self.px) / 2 + 0.5)
        return maps, _larger(self.fc1(maps.flatten(1)))

    def _maps(self, x: Tensor) -> Tensor:
        for number in range(1, 5):
            x = max_pool2d(_larger(self.get_submodule(f"conv{number}")(x)), 2, ceil_mode=True)
        return x


class Judges(nn.Module):
    """Both networks, and while they learn here, a classifier of people on each."""

    def __init__(self, px: Sequence[int], width: float) -> None:
        super().__init__()
        self.vgg, self.light = VGGFace(px[0], width), LightCNN4(px[1], width)
        self.heads: nn.ModuleList | None = None

    def learn(self, people: int) -> None:
        """Put classifiers of people on both."""
        sizes = (self.vgg.channels, self.light.size)
        self.heads = nn.ModuleList(nn.Linear(size, people) for size in sizes)

    def recognise(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of people by either network: (N, 1, H, W) -> (N, P) twice."""
        assert self.heads is not None
        seen, known = self.vgg(faces).mean(dim=(2, 3)), self.light(faces)[1]
        return self.heads[0](seen), self.heads[1](known)

    def losses(self, faces: Tensor, person: Tensor) -> dict[str, Tensor]:
        """Cross-entropies of people."""
        vgg, light = self.recognise(faces)
        return {
            "vgg_face": cross_entropy(vgg.float(), person),
            "light_cnn": cross_entropy(light.float(), person),
        }

    def train(self, mode: bool = True) -> "Judges":
        """Once they have learnt, nothing moves them."""
        return super().train(mode and self.heads is not None)


def _larger(x: Tensor) -> Tensor:
    """Max-feature-map: the larger of the two halves of the channels."""
    first, second = x.chunk(2, dim=1)
    return torch.maximum(first, second)


def _resized(faces: Tensor, px: int) -> Tensor:
    if faces.shape[-1] == px:
        return faces
    return interpolate(faces, size=(px, px), mode="bilinear", antialias=True, align_corners=False)
