"""Histograms of oriented gradients: which way the edges run, cell by cell.

Dalal and Triggs, *Histograms of oriented gradients for human detection*, CVPR 2005, with the choices of
`skimage.feature.hog` (hard bins over 180 degrees, L2-Hys blocks of 2 x 2 cells), in torch so that it can be
part of an exported model; a test holds it to scikit-image.
"""

import math

from torch import Tensor
from torch.nn.functional import avg_pool2d, one_hot, pad, unfold

BINS = 9  # of 20 degrees each
BLOCK = 2  # cells a side, one cell apart
CLIP, EPS = 0.2, 1e-5  # L2-Hys


def hog_size(side_px: int, cell_px: int) -> int:
    """How many numbers describe a square picture of `side_px`."""
    return BINS * BLOCK**2 * (side_px // cell_px - BLOCK + 1) ** 2


def hog(grey: Tensor, cell_px: int) -> Tensor:
    """Describe square grey pictures (N, S, S), of any unit -> (N, `hog_size(S, cell_px)`) in 0..1.

    Numbers are sorted by place in the block, then bin, then block. A picture without edges gives zeros.
    """
    across = pad(grey[:, :, 2:] - grey[:, :, :-2], (1, 1))
    down = pad(grey[:, 2:] - grey[:, :-2], (0, 0, 1, 1))
    bins = (down.atan2(across) * (BINS / math.pi)).remainder(BINS).long().clamp(max=BINS - 1)
    edges = one_hot(bins, BINS) * (across.square() + down.square()).sqrt()[..., None]
    cells = avg_pool2d(edges.permute(0, 3, 1, 2), cell_px)  # (N, BINS, cells, cells)
    blocks = unfold(cells, BLOCK)  # (N, BINS * BLOCK ** 2, blocks)
    return _unit(_unit(blocks).clamp(max=CLIP)).flatten(1)


def _unit(blocks: Tensor) -> Tensor:
    return blocks / (blocks.square().sum(dim=1, keepdim=True) + EPS**2).sqrt()
