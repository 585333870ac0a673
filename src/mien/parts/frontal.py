"""Grey faces of 64 px with their eyes in place, and the light taken out of them (IDFERM, section 4.1)."""

import torch
from torch import Tensor

from mien.parts.augment import uniform
from mien.parts.noise import apart
from mien.parts.pictures import resize

FACE_PX, CROP_PX = 64, 60
EYES = (
    (18.0, 22.0),
    (46.0, 22.0),
)  # where the centres of the eyes come to lie, in the picture's left and right
SHRUNK_PX = 80  # larger crops are brought to it first, so that sampling does not alias
LUMA = (0.299, 0.587, 0.114)  # Rec. 601
CROPS = ((0, 0), (4, 0), (0, 4), (4, 4), (2, 2))  # left and top of the corners' crops and of the middle one
MIDDLE = 4
CHOICE = 31  # use of a face's seed


def aligned(faces: Tensor, points: Tensor) -> Tensor:
    """Turn, scale and shift each face so that its eyes lie at EYES; grey.

    faces (N, 3, H, W) in 0..255, points (N, 68, 2) in their px -> (N, 1, 64, 64) float32 in 0..255. Taken in
    float64: what comes next rounds to whole grey levels, and another machine must round the same way.
    """
    luma = torch.tensor(LUMA, dtype=torch.float64, device=faces.device)
    grey, points = (faces.double() * luma[:, None, None]).sum(dim=1, keepdim=True), points.double()
    height, width = map(int, faces.shape[-2:])
    if max(height, width) > SHRUNK_PX:
        sides = torch.tensor([width, height], dtype=torch.float64, device=faces.device)
        grey, points = resize(grey, SHRUNK_PX), (points + 0.5) * (SHRUNK_PX / sides) - 0.5
    left, right = points[:, 36:42].mean(dim=1), points[:, 42:48].mean(dim=1)
    per_px = (right - left) / (EYES[1][0] - EYES[0][0])  # a step to the right there is this step here
    at = torch.arange(FACE_PX, device=faces.device, dtype=torch.float64)
    across, down = (at - EYES[0][0])[None, None, :], (at - EYES[0][1])[None, :, None]
    step_x, step_y = (per_px[:, i, None, None] for i in (0, 1))
    x = left[:, 0, None, None] + step_x * across - step_y * down
    y = left[:, 1, None, None] + step_y * across + step_x * down
    return sampled(grey[:, 0], x, y).float()[:, None]


def sampled(pictures: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Bilinear, the edge going on beyond itself: pictures (N, H, W) at x and y (N, h, w) -> (N, h, w)."""
    height, width = map(int, pictures.shape[-2:])
    x, y = x.clamp(0, width - 1), y.clamp(0, height - 1)
    left, top = x.floor().long(), y.floor().long()
    right, below = (left + 1).clamp(max=width - 1), (top + 1).clamp(max=height - 1)
    flat, across, down = pictures.flatten(1), x - left, y - top
    corners = [
        flat.gather(1, (row * width + column).flatten(1)).view_as(x)
        for row, column in ((top, left), (top, right), (below, left), (below, right))
    ]
    upper = corners[0] * (1 - across) + corners[1] * across
    return upper * (1 - down) + (corners[2] * (1 - across) + corners[3] * across) * down


def turned_left(points: Tensor) -> Tensor:
    """Whether the far side of each face lies in the picture's left half: points (N, 68, 2) -> (N,) bool."""
    return sideways(points) < 0


def sideways(points: Tensor) -> Tensor:
    """How far the nose is from the middle between the jaw's ends, in shares of their distance: (N,).

    0 for a face from the front; negative where the nose is nearer to the picture's left end.
    """
    left, right, nose = points[:, 0, 0], points[:, 16, 0], points[:, 30, 0]
    width = (right - left).abs().clamp(min=1.0)
    return (2 * nose - left - right) / width


def mirrored(pictures: Tensor, which: Tensor) -> Tensor:
    """Exchange left and right where `which` (N,) says so: (N, 1, H, W) -> the same shape."""
    return torch.where(which[:, None, None, None], pictures.flip(-1), pictures)


def choice(seed: Tensor) -> Tensor:
    """Which of the ten crops a training face gets this time, by its own seed: (N,) -> (N,) in 0..9."""
    return (uniform(apart(seed, CHOICE), 1)[:, 0] * 2 * len(CROPS)).long()


def ten_crops(pictures: Tensor) -> Tensor:
    """Corners and middle, then the same mirrored: (N, 1, 64, 64) -> (N, 10, 60, 60)."""
    straight = [pictures[:, 0, top : top + CROP_PX, left : left + CROP_PX] for left, top in CROPS]
    return torch.stack([*straight, *(crop.flip(-1) for crop in straight)], dim=1)


def crop(pictures: Tensor, which: Tensor | None = None) -> Tensor:
    """The chosen one of the ten crops, or the middle: (N, 1, 64, 64), (N,) -> (N, 1, 60, 60)."""
    if which is None:
        left, top = CROPS[MIDDLE]
        return pictures[..., top : top + CROP_PX, left : left + CROP_PX]
    return ten_crops(pictures)[torch.arange(len(which), device=which.device), which][:, None]


def lit_alike(pictures: Tensor) -> Tensor:
    """Histogram equalisation, a plane of light taken off, mean 0 and spread 1: (N, 1, H, W) in 0..255."""
    return standardised(without_plane(equalised(pictures)))


def equalised(pictures: Tensor) -> Tensor:
    """Histogram equalisation as OpenCV does it: (N, 1, H, W) in 0..255 -> whole numbers in 0..255.

    A picture of one value stays as it is.
    """
    value = pictures.round().clamp(0, 255).long().flatten(1)
    counts = torch.zeros(value.shape[0], 256, device=value.device)
    counts.scatter_add_(1, value, torch.ones_like(value, dtype=torch.float32))
    below = counts.cumsum(dim=1)
    first = counts.gather(1, (counts > 0).int().argmax(dim=1, keepdim=True))
    span = value.shape[1] - first
    table = ((below - first) * (255 / span.clamp(min=1))).round().clamp(0, 255)
    table = torch.where(span > 0, table, torch.arange(256.0, device=value.device))
    return table.gather(1, value).view_as(pictures)


def without_plane(pictures: Tensor) -> Tensor:
    """Take off the least-squares plane a x + b y + c: (N, 1, H, W) -> what is left."""
    height, width = pictures.shape[-2:]
    x = torch.arange(width, device=pictures.device) - (width - 1) / 2
    y = (torch.arange(height, device=pictures.device) - (height - 1) / 2)[:, None]
    centred = pictures - pictures.mean(dim=(2, 3), keepdim=True)  # x, y and 1 are orthogonal on the grid
    slope_x = (centred * x).mean(dim=(2, 3), keepdim=True) / x.square().mean()
    slope_y = (centred * y).mean(dim=(2, 3), keepdim=True) / y.square().mean()
    return centred - slope_x * x - slope_y * y


def standardised(pictures: Tensor) -> Tensor:
    """Mean 0 and spread 1 a picture; one without contrast becomes zeros: (N, 1, H, W)."""
    centred = pictures - pictures.mean(dim=(2, 3), keepdim=True)
    spread = centred.square().mean(dim=(2, 3), keepdim=True).sqrt()
    return centred / spread.clamp(min=1e-3)
