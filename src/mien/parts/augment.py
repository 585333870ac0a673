"""Random changes to faces that depend on nothing but each face's own seed.

Whatever the rank, the layout of the batch, the device or a resume: `Batch.seed` alone decides.
"""

import math

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import grid_sample

from mien.config import Section

# splitmix64 (Steele, Lea and Flood 2014), written as signed 64-bit numbers: products wrap as unsigned ones do
GAMMA = 0x9E3779B97F4A7C15 - (1 << 64)
MIX_1 = 0xBF58476D1CE4E5B9 - (1 << 64)
MIX_2 = 0x94D049BB133111EB - (1 << 64)
FLOAT_BITS = 24


class Augmentation(Section):
    """What may happen to a training face; every strength at 0 leaves it as it is."""

    flip: float = Field(0.5, ge=0, le=1)  # probability
    rotation_degrees: float = Field(5.0, ge=0, le=180)  # uniform within plus and minus
    shift: float = Field(0.0, ge=0, lt=1)  # uniform within plus and minus this share of the side
    zoom: float = Field(0.0, ge=0, lt=1)  # uniform scale within 1 - zoom and 1 + zoom
    light: float = Field(0.0, ge=0, lt=1)  # brightness and contrast factors within 1 -+ light
    grey: float = Field(0.0, ge=0, le=1)  # probability
    erase: float = Field(0.0, ge=0, le=1)  # probability of a grey square
    erase_side: float = Field(0.3, gt=0, lt=1)  # its largest side, as a share of the picture's


def uniform(seed: Tensor, count: int) -> Tensor:
    """Uniform numbers in [0, 1), a row a seed: number k is splitmix64's output k for that seed.

    seed (N,) int64 -> (N, count) float32 with 24 random bits, equal on every device.
    """
    steps = torch.arange(1, count + 1, device=seed.device, dtype=torch.int64)
    z = seed[:, None] + steps * GAMMA
    z = (z ^ _shift(z, 30)) * MIX_1
    z = (z ^ _shift(z, 27)) * MIX_2
    z = z ^ _shift(z, 31)
    return _shift(z, 64 - FLOAT_BITS).float() / (1 << FLOAT_BITS)


def augment(pixels: Tensor, seed: Tensor, how: Augmentation) -> Tensor:
    """Flip, rotate, shift, zoom, relight and erase each face by its own seed; what comes in is black.

    pixels (N, 3, H, W) float in 0..255, seed (N,) int64 -> the same shape and range.
    """
    draws = uniform(seed, 12)
    out = _move(pixels, draws[:, :5], how)
    if how.light or how.grey:
        out = _relight(out, draws[:, 5:8], how)
    return _erase(out, draws[:, 8:], how) if how.erase else out


def _shift(z: Tensor, bits: int) -> Tensor:
    """Shift right without the sign: torch's >> on int64 is arithmetic."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)


def _spread(draw: Tensor, width: float) -> Tensor:
    """Uniform [0, 1) -> uniform [-width, width)."""
    return (2 * draw - 1) * width


def _move(pixels: Tensor, draws: Tensor, how: Augmentation) -> Tensor:
    """Sample each face through its own similarity transform; draws (N, 5)."""
    if not (how.flip or how.rotation_degrees or how.shift or how.zoom):
        return pixels
    height, width = pixels.shape[-2:]
    mirror = torch.where(draws[:, 0] < how.flip, -1.0, 1.0)
    angle = _spread(draws[:, 1], math.radians(how.rotation_degrees))
    scale = 1 / (1 + _spread(draws[:, 2], how.zoom))
    right, down = (2 * _spread(draws[:, i], how.shift) for i in (3, 4))
    # written out, not affine_grid: its matrix product may round differently in batches of another size
    y, x = (torch.arange(n, device=pixels.device) * 2 + 1 for n in (height, width))
    x, y = (x / width - 1)[None, None, :], (y / height - 1)[None, :, None]
    cos, sin = (scale * angle.cos())[:, None, None], (scale * angle.sin())[:, None, None]
    source_x = mirror[:, None, None] * (cos * x - sin * y) + right[:, None, None]
    source_y = sin * x + cos * y + down[:, None, None]
    grid = torch.stack([source_x, source_y], dim=-1)
    return grid_sample(pixels, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _relight(pixels: Tensor, draws: Tensor, how: Augmentation) -> Tensor:
    """Change contrast round the face's own mean, brightness, and now and then drop colour; draws (N, 3)."""
    contrast, brightness = (1 + _spread(draws[:, i], how.light)[:, None, None, None] for i in (0, 1))
    mean = pixels.mean(dim=(1, 2, 3), keepdim=True)
    out = ((pixels - mean) * contrast + mean) * brightness
    colourless = (draws[:, 2] < how.grey)[:, None, None, None]
    return torch.where(colourless, out.mean(dim=1, keepdim=True), out).clamp(0, 255)


def _erase(pixels: Tensor, draws: Tensor, how: Augmentation) -> Tensor:
    """Lay a mid-grey square somewhere on some faces; draws (N, 4)."""
    height, width = pixels.shape[-2:]
    side = how.erase_side * (0.5 + 0.5 * draws[:, 0])
    left, top = draws[:, 1] * (1 - side), draws[:, 2] * (1 - side)
    x = ((torch.arange(width, device=pixels.device) + 0.5) / width)[None, None, :]
    y = ((torch.arange(height, device=pixels.device) + 0.5) / height)[None, :, None]
    left, top, side = (v[:, None, None] for v in (left, top, side))
    inside = (x >= left) & (x < left + side) & (y >= top) & (y < top + side)
    chosen = (draws[:, 3] < how.erase)[:, None, None]
    return torch.where((inside & chosen)[:, None], 127.5, pixels)
