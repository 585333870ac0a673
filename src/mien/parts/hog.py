"""Histograms of oriented gradients: which way the edges run, cell by cell.

Dalal and Triggs, *Histograms of oriented gradients for human detection*, CVPR 2005, with the choices of
`skimage.feature.hog` (hard bins over 180 degrees, L2-Hys blocks of 2 x 2 cells), in torch so that it can be
part of an exported model; a test holds it to scikit-image.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad, unfold

BINS = 9  # of 20 degrees each
BLOCK = 2  # cells a side, one cell apart
CLIP, EPS = 0.2, 1e-5  # L2-Hys
STEPS = 2**30  # that a gradient of 1 is told in


def hog_size(side_px: int, cell_px: int) -> int:
    """How many numbers describe a square picture of `side_px`."""
    return BINS * BLOCK**2 * (side_px // cell_px - BLOCK + 1) ** 2


def hog(grey: Tensor, cell_px: int) -> Tensor:
    """Describe square grey pictures (N, S, S) in 0..1 -> (N, `hog_size(S, cell_px)`) in 0..1.

    Numbers are sorted by place in the block, then bin, then block. A picture without edges gives zeros.
    """
    across = _exact(pad(grey[:, :, 2:] - grey[:, :, :-2], (1, 1)))
    down = _exact(pad(grey[:, 2:] - grey[:, :-2], (0, 0, 1, 1)))
    edges = directions(across, down) * (across.square() + down.square()).sqrt()[:, None]
    cells = avg_pool2d(edges.float(), cell_px)  # (N, BINS, cells, cells)
    blocks = unfold(cells, BLOCK)  # (N, BINS * BLOCK ** 2, blocks)
    return _unit(_unit(blocks).clamp(max=CLIP)).flatten(1)


def directions(across: Tensor, down: Tensor) -> Tensor:
    """In which bin each gradient lies, either way along its line: (N, S, S) twice -> (N, BINS, S, S) bool.

    By the side of each bound between bins on which it lies: an angle would be rounded at the bounds. They are
    tables of float64, as a number alone would be float32 in an exported model.
    """
    turned = (down < 0) | ((down == 0) & (across < 0))
    x, y = (torch.where(turned, -v, v)[:, None] for v in (across, down))
    bounds = [number * math.pi / BINS for number in range(1, BINS)]
    cos, sin = (
        torch.tensor([of(bound) for bound in bounds], dtype=torch.float64, device=x.device)[:, None, None]
        for of in (math.cos, math.sin)
    )
    beyond = y * cos >= x * sin
    edge = torch.zeros_like(beyond[:, :1])
    return torch.cat([~edge, beyond], dim=1) & ~torch.cat([beyond, edge], dim=1)


def _exact(gradient: Tensor) -> Tensor:
    """To nine digits, in float64: a gradient that is 0 but for rounding has no direction."""
    return (gradient.double() * STEPS).round() / STEPS


def _unit(blocks: Tensor) -> Tensor:
    return blocks / (blocks.square().sum(dim=1, keepdim=True) + EPS**2).sqrt()
