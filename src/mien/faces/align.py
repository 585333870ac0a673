"""From a detected face to a crop: which face, which similarity transform, and the pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from mien.config.faces import Align
from mien.faces.detect import Detector, Faces, Picture, detect_shrunk
from mien.manifest.pictures import Reject

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Aligned:
    """One face, upright in its crop."""

    crop: Picture  # (crop_px, crop_px, 3) RGB, or (crop_px, crop_px, 1) grey
    transform: Floats  # (2, 3) picture px -> crop px
    box: NDArray[np.float32]  # (4,) in picture px
    score: float
    five: NDArray[np.float32]  # (5, 2) in picture px


def align(
    detector: Detector,
    pictures: Sequence[Picture],
    settings: Align,
    given: Sequence[Floats | None] | None = None,
) -> list[Aligned | Reject]:
    """Find, choose and cut out one face a picture; a Reject stands where there is none to be had.

    given: boxes (4,) that came with the corpus, in picture px; of several faces the one there is taken.
    """
    boxes = given or [None] * len(pictures)
    results: list[Aligned | Reject] = []
    for picture, faces, box in zip(
        pictures, detect_shrunk(detector, pictures, settings.longest_side_px), boxes, strict=True
    ):
        try:
            results.append(cut(picture, faces, choose(faces, settings, box), settings))
        except Reject as reject:
            results.append(reject)
    return results


def choose(faces: Faces, settings: Align, given: Floats | None = None) -> int:
    """Which face to take: the best by score times size, or the one that overlaps a given box most.

    Reject: none with `min_score`, none of `min_face_px`, or several where `several_faces` is "reject".
    """
    sure = np.flatnonzero(faces.scores >= settings.min_score)
    if len(sure) == 0:
        raise Reject("no face" if len(faces) == 0 else f"no face surer than {settings.min_score}")
    sizes = np.sqrt(_area(faces.boxes))
    large = sure[sizes[sure] >= settings.min_face_px]
    if len(large) == 0:
        raise Reject(f"face smaller than {settings.min_face_px} px")
    if settings.several_faces == "reject" and len(large) > 1:
        raise Reject("several faces")
    merit = faces.scores * sizes if given is None else _overlap(faces.boxes, given)
    return int(large[np.argmax(merit[large])])


def cut(picture: Picture, faces: Faces, which: int, settings: Align) -> Aligned:
    """Cut out one face, its eyes on the eye line. Reject: both eyes at one place."""
    five = faces.five[which]
    if np.hypot(*(five[1] - five[0])) < 1:
        raise Reject("eyes not apart")
    transform = similarity(five[None, :2], eye_places(settings))[0]
    crop = warp(picture, transform, settings.crop_px)
    if settings.colour == "grey":
        crop = np.asarray(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), dtype=np.uint8)[..., None]
    return Aligned(crop, transform, faces.boxes[which], float(faces.scores[which]), five)


def eye_places(settings: Align) -> Floats:
    """Where both eyes (2, 2) lie in a crop, the picture's left one first; 0 is the first pixel's centre."""
    x = 0.5 + np.array([-0.5, 0.5]) * settings.eye_distance
    return np.stack([x, np.full(2, settings.eye_line)], axis=1) * settings.crop_px - 0.5


def similarity(source: NDArray[np.floating[Any]], target: NDArray[np.floating[Any]]) -> Floats:
    """The least-squares similarities (N, 2, 3) that take points (N, K, 2) to (K, 2) or (N, K, 2).

    Umeyama (1991) in the plane: with points as complex numbers it is a regression with one coefficient.
    """
    z = source[..., 0].astype(np.float64) + 1j * source[..., 1]
    w = np.broadcast_to(target[..., 0].astype(np.float64) + 1j * target[..., 1], z.shape)
    z_mean, w_mean = z.mean(-1, keepdims=True), w.mean(-1, keepdims=True)
    turn = (np.conj(z - z_mean) * (w - w_mean)).sum(-1) / (np.abs(z - z_mean) ** 2).sum(-1)
    shift = w_mean[..., 0] - turn * z_mean[..., 0]
    rows = [[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]]
    return np.moveaxis(np.array(rows), -1, 0)


def to_crop(points: NDArray[np.floating[Any]], transform: Floats) -> Floats:
    """Points (..., K, 2) from picture px to crop px by transforms (..., 2, 3)."""
    return np.asarray(points @ np.swapaxes(transform[..., :2], -1, -2) + transform[..., None, :, 2])


def to_picture(points: NDArray[np.floating[Any]], transform: Floats) -> Floats:
    """Points (..., K, 2) from crop px back to picture px."""
    inverse = np.linalg.inv(transform[..., :2])
    return np.asarray((points - transform[..., None, :, 2]) @ np.swapaxes(inverse, -1, -2))


def warp(picture: Picture, transform: Floats, side_px: int) -> Picture:
    """Sample a square crop; a face that shrinks is averaged first, so that it does not alias."""
    scale = float(np.hypot(transform[0, 0], transform[1, 0]))
    if scale < 1:
        picture, transform = _shrunk_part(picture, transform, scale, side_px)
    crop = cv2.warpAffine(
        picture, transform, (side_px, side_px), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(crop, dtype=np.uint8)


def encode(crop: Picture, quality: int) -> bytes:
    """A crop as JPEG without metadata; colour is kept at full resolution."""
    colours = "GRAY" if crop.shape[2] == 1 else "RGB"
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(crop), quality, colours, "444"))


def _shrunk_part(picture: Picture, transform: Floats, scale: float, side_px: int) -> tuple[Picture, Floats]:
    """The part of the picture that the crop needs, at the crop's scale, and the transform from there."""
    corners = to_picture(np.array([[0, 0], [side_px, 0], [0, side_px], [side_px, side_px]]) - 0.5, transform)
    margin = 2 / scale
    low = np.clip(np.floor(corners.min(0) - margin), 0, np.array(picture.shape[1::-1]) - 1).astype(int)
    high = np.clip(np.ceil(corners.max(0) + margin), low + 1, picture.shape[1::-1]).astype(int)
    part = picture[low[1] : high[1], low[0] : high[0]]
    size = np.maximum(1, np.rint(np.array(part.shape[1::-1]) * scale)).astype(int)
    small = cv2.resize(part, (int(size[0]), int(size[1])), interpolation=cv2.INTER_AREA)
    step = np.array(part.shape[1::-1]) / size  # picture px to a px of the small one
    # a small px at v has its centre at (v + 0.5) step - 0.5 + low in the picture
    back = np.array(
        [[step[0], 0, 0.5 * step[0] - 0.5 + low[0]], [0, step[1], 0.5 * step[1] - 0.5 + low[1]], [0, 0, 1]]
    )
    return np.asarray(small, dtype=np.uint8), np.asarray(transform @ back)


def _area(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1))


def _overlap(boxes: NDArray[np.float32], given: Floats) -> NDArray[np.float32]:
    """Intersection over union of boxes (K, 4) with one, plus a trifle for nearness where none overlaps."""
    shared = np.minimum(boxes[:, 2:], given[2:]) - np.maximum(boxes[:, :2], given[:2])
    inter = np.prod(np.maximum(shared, 0), axis=1)
    union = _area(boxes) + np.prod(given[2:] - given[:2]) - inter
    away = np.linalg.norm((boxes[:, 2:] + boxes[:, :2] - given[2:] - given[:2]) / 2, axis=1)
    return np.asarray(inter / np.maximum(union, 1e-9) + 1e-6 / (1 + away), dtype=np.float32)
