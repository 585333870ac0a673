"""MTCNN in true batches (Zhang et al., "Joint Face Detection and Alignment Using ... Cascaded CNNs", 2016).

The three networks and their weights are facenet-pytorch's (in its wheel, MIT); the cascade around them is
our own. facenet-pytorch's has a loop over boxes, and its boxes move with the company a picture keeps: the
last bits of a convolution depend on the batch, and a box cut at a whole pixel can tip over. Here every
number that a picture gets is the same to the bit in any batch: P-Net and suppression look at one picture at a
time, R- and O-Net run in chunks of one size, and boxes are cut out by exact sums over an integral image.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from facenet_pytorch.models.mtcnn import ONet, PNet, RNet
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torchvision.ops import nms

from mien.faces.detect import Detector, Faces, Picture

THRESHOLDS = (0.6, 0.7, 0.7)  # of the three stages, as facenet-pytorch has them
SCALE_STEP = 0.709
CELL_PX, STRIDE_PX = 12, 2  # P-Net's window and its step
CHUNK = 32  # boxes to a pass of R- and O-Net, the last one filled up
CANVAS_STEP_PX = 64  # pictures are put on black canvases of such sizes, so that few sizes make large batches


@dataclass(frozen=True)
class _Canvases:
    """Pictures of one canvas size."""

    pixels: Tensor  # (N, 3, H, W) float32
    integral: NDArray[np.int32]  # (N, H + 1, W + 1, 3) sums over all above and to the left
    width: NDArray[np.int64]  # (N,) of the pictures themselves
    height: NDArray[np.int64]


@dataclass(frozen=True)
class _Candidates:
    """Boxes of several pictures in one table, sorted by picture."""

    picture: NDArray[np.int64]  # (K,) which canvas
    boxes: NDArray[np.float32]  # (K, 4)
    scores: NDArray[np.float32]  # (K,)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> "_Candidates":
        return _Candidates(self.picture[rows], self.boxes[rows], self.scores[rows])


class Mtcnn(Detector):
    """MTCNN with the weights that facenet-pytorch ships."""

    def __init__(self, min_face_px: int = 20) -> None:
        self.min_face_px = min_face_px
        # channels last is twice as fast here
        self.pnet, self.rnet, self.onet = (
            net().eval().to(memory_format=torch.channels_last) for net in (PNet, RNet, ONet)
        )

    @torch.inference_mode()
    def detect(self, pictures: Sequence[Picture]) -> list[Faces]:
        """Find faces; pictures that share a canvas size go through the networks together."""
        groups: dict[tuple[int, int], list[int]] = defaultdict(list)
        for k, picture in enumerate(pictures):
            groups[_canvas_size(picture)].append(k)
        found: list[Faces] = [Faces.none()] * len(pictures)
        for size, members in groups.items():
            for k, faces in zip(
                members, self._cascade(_canvases([pictures[k] for k in members], size)), strict=True
            ):
                found[k] = faces
        return found

    def _cascade(self, canvases: _Canvases) -> list[Faces]:
        number = len(canvases.pixels)
        candidates = self._propose(canvases)
        candidates = self._refine(canvases, candidates)
        candidates, five = self._finish(canvases, candidates)
        found = []
        for k in range(number):
            rows = np.flatnonzero(candidates.picture == k)
            rows = rows[np.argsort(-candidates.scores[rows], kind="stable")]
            found.append(Faces(candidates.boxes[rows], candidates.scores[rows], five[rows]))
        return found

    def _propose(self, canvases: _Canvases) -> _Candidates:
        """Stage one: P-Net slides over a pyramid and proposes boxes."""
        number, _, height, width = canvases.pixels.shape
        per_picture: list[list[Tensor]] = [[] for _ in range(number)]
        for scale in _pyramid(min(height, width), self.min_face_px):
            size = int(height * scale + 1), int(width * scale + 1)
            level = (interpolate(canvases.pixels, size=size, mode="area") - 127.5) / 128
            for k in range(number):  # hardly slower than all at once
                shifts, faceness = self.pnet(level[k : k + 1])
                boxes = _cells(shifts[0], faceness[0, 1], scale)
                per_picture[k].append(boxes[nms(boxes[:, :4], boxes[:, 4], 0.5)])
        kept = [torch.cat(levels) for levels in per_picture]
        kept = [boxes[nms(boxes[:, :4], boxes[:, 4], 0.7)] for boxes in kept]
        table = torch.cat(kept).numpy()
        picture = np.repeat(np.arange(number), [len(boxes) for boxes in kept])
        boxes = table[:, :4] + table[:, 5:9] * np.tile(table[:, 2:4] - table[:, :2], 2)
        return _Candidates(picture, _square(boxes), table[:, 4])

    def _refine(self, canvases: _Canvases, candidates: _Candidates) -> _Candidates:
        """Stage two: R-Net looks at each proposal."""
        candidates, crops = _cut(canvases, candidates, 24)
        shifts, faceness = _in_chunks(self.rnet, crops)
        passed = faceness[:, 1] > THRESHOLDS[1]
        shifts = shifts[passed]
        candidates = _Candidates(candidates.picture[passed], candidates.boxes[passed], faceness[passed, 1])
        keep = _suppress(candidates)
        candidates, shifts = candidates.take(keep), shifts[keep]
        boxes = _square(_regress(candidates.boxes, shifts))
        return _Candidates(candidates.picture, boxes, candidates.scores)

    def _finish(
        self, canvases: _Canvases, candidates: _Candidates
    ) -> tuple[_Candidates, NDArray[np.float32]]:
        """Stage three: O-Net decides and places the five points."""
        candidates, crops = _cut(canvases, candidates, 48)
        shifts, places, faceness = _in_chunks(self.onet, crops)
        passed = faceness[:, 1] > THRESHOLDS[2]
        shifts, places, boxes = shifts[passed], places[passed], candidates.boxes[passed]
        size = boxes[:, 2:4] - boxes[:, :2] + 1
        # the network gives five x, then five y, as shares of the box
        five = places.reshape(-1, 2, 5).transpose(0, 2, 1) * size[:, None] + boxes[:, None, :2] - 1
        candidates = _Candidates(candidates.picture[passed], _regress(boxes, shifts), faceness[passed, 1])
        keep = _suppress_contained(candidates)
        return candidates.take(keep), five[keep].astype(np.float32)


def _canvas_size(picture: Picture) -> tuple[int, int]:
    height, width = (-(-side // CANVAS_STEP_PX) * CANVAS_STEP_PX for side in picture.shape[:2])
    return height, width


def _canvases(pictures: Sequence[Picture], size: tuple[int, int]) -> _Canvases:
    canvas = np.zeros((len(pictures), *size, 3), np.uint8)
    for k, picture in enumerate(pictures):
        canvas[k, : picture.shape[0], : picture.shape[1]] = picture
    integral = np.stack([np.asarray(cv2.integral(c, sdepth=cv2.CV_32S), np.int32) for c in canvas])
    pixels = torch.from_numpy(canvas).permute(0, 3, 1, 2).float()  # stays channels last
    width = np.array([p.shape[1] for p in pictures])
    return _Canvases(pixels, integral, width, np.array([p.shape[0] for p in pictures]))


def _pyramid(shorter_side_px: int, min_face_px: int) -> list[float]:
    scales = []
    scale = CELL_PX / min_face_px
    while shorter_side_px * scale >= CELL_PX:
        scales.append(scale)
        scale *= SCALE_STEP
    return scales


def _cells(shifts: Tensor, faceness: Tensor, scale: float) -> Tensor:
    """The windows of one level that look like a face: (K, 9) box in whole px, score, four shifts."""
    rows, columns = torch.nonzero(faceness >= THRESHOLDS[0], as_tuple=True)
    corner = torch.stack((columns, rows), dim=1).float() * STRIDE_PX
    top_left = ((corner + 1) / scale).floor()
    bottom_right = ((corner + CELL_PX) / scale).floor()
    score = faceness[rows, columns, None]
    return torch.cat([top_left, bottom_right, score, shifts[:, rows, columns].T], dim=1)


def _square(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Squares about the same centres, as long as the longer side."""
    size = boxes[:, 2:4] - boxes[:, :2]
    side = size.max(axis=1, keepdims=True, initial=0)
    top_left = boxes[:, :2] + size * np.float32(0.5) - side * np.float32(0.5)
    return np.concatenate([top_left, top_left + side], axis=1).astype(np.float32)


def _regress(boxes: NDArray[np.float32], shifts: NDArray[np.float32]) -> NDArray[np.float32]:
    """Move each edge by a share of the box's size."""
    size = boxes[:, 2:4] - boxes[:, :2] + 1
    return (boxes + shifts * np.tile(size, 2)).astype(np.float32)


def _cut(canvases: _Canvases, candidates: _Candidates, side: int) -> tuple[_Candidates, Tensor]:
    """Average-pool each box, cut at the picture's edge, to `side` px; boxes outside the picture drop out.

    Bin k of n px spans floor(k n / side) to ceil((k + 1) n / side), which is torch's "area" interpolation.
    """
    whole = np.trunc(candidates.boxes).astype(np.int64)
    left, top = np.maximum(whole[:, 0], 1) - 1, np.maximum(whole[:, 1], 1) - 1
    right = np.minimum(whole[:, 2], canvases.width[candidates.picture])
    bottom = np.minimum(whole[:, 3], canvases.height[candidates.picture])
    inside = (right > left) & (bottom > top)
    candidates, left, top, right, bottom = (
        candidates.take(inside),
        left[inside],
        top[inside],
        right[inside],
        bottom[inside],
    )
    x0, x1 = _bins(left, right, side)
    y0, y1 = _bins(top, bottom, side)
    picture = candidates.picture[:, None, None]

    def corner(y: NDArray[np.int64], x: NDArray[np.int64]) -> NDArray[np.int32]:
        return canvases.integral[picture, y[:, :, None], x[:, None, :]]

    sums = corner(y1, x1) - corner(y0, x1) - corner(y1, x0) + corner(y0, x0)
    area = (y1 - y0)[:, :, None, None] * (x1 - x0)[:, None, :, None]
    crops = ((sums / area).astype(np.float32) - np.float32(127.5)) / np.float32(128)
    return candidates, torch.from_numpy(crops).permute(0, 3, 1, 2)


def _bins(
    start: NDArray[np.int64], end: NDArray[np.int64], side: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    length = (end - start)[:, None]
    k = np.arange(side)[None]
    return start[:, None] + k * length // side, start[:, None] - (-(k + 1) * length // side)


def _in_chunks(net: nn.Module, crops: Tensor) -> tuple[NDArray[np.float32], ...]:
    """Run a network on chunks of exactly CHUNK crops: its sums' last bits depend on the batch's size."""
    missing = CHUNK if len(crops) == 0 else -len(crops) % CHUNK
    filled = torch.cat([crops, crops.new_zeros(missing, *crops.shape[1:])])
    chunks = torch.tensor_split(filled, len(filled) // CHUNK)
    outputs = zip(*(net(chunk) for chunk in chunks), strict=True)
    return tuple(torch.cat(output)[: len(crops)].numpy() for output in outputs)


def _suppress(candidates: _Candidates) -> NDArray[np.int64]:
    """Rows that survive non-maximum suppression (IoU 0.7) within their picture."""
    kept = [np.empty(0, np.int64)]
    boxes, scores = torch.from_numpy(candidates.boxes), torch.from_numpy(candidates.scores)
    for k in np.unique(candidates.picture):
        rows = np.flatnonzero(candidates.picture == k)
        kept.append(rows[nms(boxes[rows], scores[rows], 0.7).numpy()])
    return np.concatenate(kept)


def _suppress_contained(candidates: _Candidates) -> NDArray[np.int64]:
    """Rows that survive when overlap is measured against the smaller box: a face inside a face goes."""
    kept: list[int] = []
    area = np.prod(candidates.boxes[:, 2:4] - candidates.boxes[:, :2] + 1, axis=1)
    for row in np.lexsort((-candidates.scores, candidates.picture)):
        rivals = [r for r in kept if candidates.picture[r] == candidates.picture[row]]
        corner = np.maximum(candidates.boxes[rivals, :2], candidates.boxes[row, :2])
        opposite = np.minimum(candidates.boxes[rivals, 2:4], candidates.boxes[row, 2:4])
        shared = np.prod(np.maximum(opposite - corner + 1, 0), axis=1)
        if not np.any(shared > 0.7 * np.minimum(area[rivals], area[row])):
            kept.append(int(row))
    return np.array(kept, dtype=np.int64)
