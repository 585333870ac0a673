"""Multi-scale structural similarity of pictures, differentiable, at any side of at least 11 pixels.

Wang, Simoncelli and Bovik, *Multiscale structural similarity for image quality assessment*, 2003.
"""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003, finest scale first
WINDOW, WINDOW_SIGMA = 11, 1.5
LEAST_SIMILARITY = 1e-3  # below, a power's slope is too steep to learn from


def scales(side: int) -> int:
    """How many of the five scales a picture of this side has room for."""
    return sum(side >> scale >= WINDOW for scale in range(len(SSIM_WEIGHTS)))


def ms_ssim(x: Tensor, y: Tensor, span: float) -> Tensor:
    """Multi-scale structural similarity (Wang et al. 2003), a number a face: (N, C, H, W) twice -> (N,).

    `span` is the distance from black to white. Of the five scales those are used whose side holds the window,
    their weights scaled to sum to 1. A similarity below LEAST_SIMILARITY counts as that.
    """
    count = scales(min(x.shape[-2:]))
    weights = torch.tensor(SSIM_WEIGHTS[:count], device=x.device)
    parts = []
    for scale in range(count):
        with torch.autocast(x.device.type, enabled=False):  # differences of squares are lost in bf16
            whole, structure = similarity(x, y, span)
        parts.append(whole if scale == count - 1 else structure)
        odd = [side % 2 for side in x.shape[-2:]]
        x, y = (avg_pool2d(picture, 2, padding=odd) for picture in (x, y))
    powers = torch.stack(parts).clamp_min(LEAST_SIMILARITY) ** (weights / weights.sum())[:, None, None]
    return powers.prod(dim=0).mean(dim=1)


def similarity(x: Tensor, y: Tensor, span: float) -> tuple[Tensor, Tensor]:
    """SSIM and its contrast-structure part at one scale, meant over the picture.

    (N, C, H, W) twice -> (N, C) and (N, C).
    """
    steady, contrasted = (0.01 * span) ** 2, (0.03 * span) ** 2
    mean_x, mean_y = blurred(x), blurred(y)
    spread = blurred(x * x + y * y) - mean_x.square() - mean_y.square()
    structure = (2 * (blurred(x * y) - mean_x * mean_y) + contrasted) / (spread + contrasted)
    luminance = (2 * mean_x * mean_y + steady) / (mean_x.square() + mean_y.square() + steady)
    return (luminance * structure).mean(dim=(2, 3)), structure.mean(dim=(2, 3))


def blurred(x: Tensor) -> Tensor:
    """The Gaussian window's weighted means wherever it fits: (N, C, H, W) -> (N, C, H - 10, W - 10)."""
    place = torch.arange(WINDOW, device=x.device) - WINDOW // 2
    gauss = torch.exp(-place.square() / (2 * WINDOW_SIGMA**2))
    down, across = (_band(gauss / gauss.sum(), side) for side in x.shape[-2:])
    return down @ x @ across.T


def _band(window: Tensor, side: int) -> Tensor:
    """The matrix that slides a window over a side: (side - len(window) + 1, side)."""
    rows = side - len(window) + 1
    padded = torch.cat([window, window.new_zeros(rows)])  # row by row, the next one starts one further right
    return padded.repeat(rows)[: rows * side].view(rows, side)
