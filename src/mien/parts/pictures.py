"""From uint8 crops to what a network reads; inside the model, so that an exported one cannot disagree."""

from torch import Tensor
from torch.nn.functional import interpolate

MIDDLE, SPREAD = 127.5, 128.0
"""The normalisation that the VGGFace2 Inception-ResNet-V1 weights were trained with (facenet-pytorch)."""


def resize(faces: Tensor, side_px: int) -> Tensor:
    """Resize square or oblong crops to `side_px` squares, bilinear and antialiased.

    faces (N, 3, H, W) uint8 or float -> (N, 3, side_px, side_px) float32 in 0..255.
    """
    pixels = faces.float()
    if pixels.shape[-2:] == (side_px, side_px):
        return pixels
    return interpolate(pixels, size=(side_px, side_px), mode="bilinear", antialias=True, align_corners=False)


def normalise(pixels: Tensor) -> Tensor:
    """Map 0..255 to about -1..1: (v - 127.5) / 128."""
    return (pixels - MIDDLE) / SPREAD
