"""From uint8 crops to what a network reads; inside the model, so that an exported one cannot disagree."""

from typing import Literal

from torch import Tensor, channels_last
from torch.nn.functional import interpolate

Light = Literal["kept", "evened"]
MIDDLE, SPREAD = 127.5, 128.0
"""The normalisation that the VGGFace2 Inception-ResNet-V1 weights were trained with (facenet-pytorch)."""


def resize(faces: Tensor, side_px: int, window: float = 1.0) -> Tensor:
    """Resize square or oblong crops, or the `window` of each side round their middle, to `side_px` squares.

    Bilinear and antialiased. faces (N, C, H, W) uint8 or float -> (N, C, side_px, side_px) in 0..255, float32
    or, of float64, float64.
    """
    height, width = map(int, faces.shape[-2:])
    top, left = (round(side * (1 - window) / 2) for side in (height, width))
    pixels = faces[..., top : height - top, left : width - left]
    pixels = pixels if pixels.is_floating_point() else pixels.float()
    if pixels.shape[-2:] == (side_px, side_px):
        return pixels
    return interpolate(pixels, size=(side_px, side_px), mode="bilinear", antialias=True, align_corners=False)


def normalise(pixels: Tensor, light: Light = "kept") -> Tensor:
    """Map 0..255 to about -1..1, pixels (N, 3, H, W): (v - 127.5) / 128.

    light "kept" is what foreign weights expect. "evened" drops colour and gives each face mean 0 and spread
    1/2: a network that learns from few faces then has no lamp and no skin to mistake for an expression.
    """
    if light == "kept":
        return (pixels - MIDDLE) / SPREAD
    grey = pixels.mean(dim=1, keepdim=True).expand_as(pixels)
    centred = grey - grey.mean(dim=(1, 2, 3), keepdim=True)
    return centred / (2 * centred.square().mean(dim=(1, 2, 3), keepdim=True).sqrt() + 1)


def grey(pixels: Tensor, light: Light = "kept") -> Tensor:
    """Pixels (N, 3, H, W) in 0..255 -> grey (N, 1, H, W) in -1..1, or "evened" as `normalise` has it."""
    if light == "evened":
        return normalise(pixels, light)[:, :1]
    return pixels.mean(dim=1, keepdim=True) / MIDDLE - 1


def contrast_normalise(pixels: Tensor, eps: float = 1e-8) -> Tensor:
    """Global contrast normalisation in L1 (Ruff et al. 2018): d / (mean |d| + eps), d = x - mean over C*H*W.

    pixels (N, C, H, W) float in 0..255 or 0..1 -> mean 0 and mean absolute value 1 a face; a face without
    contrast gives zeros. eps is in the units of `pixels`; after a resize of 0..255, 1e-3 covers its rounding.
    """
    shifted = pixels - pixels[:, :1, :1, :1]  # exactly 0 where a face is constant, which x - mean(x) is not
    d = shifted - shifted.mean(dim=(1, 2, 3), keepdim=True)
    return d / (d.abs().mean(dim=(1, 2, 3), keepdim=True) + eps)


def quick(pixels: Tensor) -> Tensor:
    """Channels last, for training: the same sums in another order, a sixth to a third faster on a CPU."""
    return pixels.contiguous(memory_format=channels_last)
