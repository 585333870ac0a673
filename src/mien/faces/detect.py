"""Detectors behind one face: pictures in, boxes with scores and five points out."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.config.faces import Align

Picture = NDArray[np.uint8]
"""(H, W, 3) RGB."""


@dataclass(frozen=True)
class Faces:
    """The faces found in one picture, best score first; all lengths in px of that picture."""

    boxes: NDArray[np.float32]  # (K, 4) left, top, right, bottom
    scores: NDArray[np.float32]  # (K,) in 0..1
    five: NDArray[np.float32]  # (K, 5, 2) eyes, nose, mouth corners; of a pair the picture's left one first

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def none(cls) -> "Faces":
        """No face at all."""
        return cls(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty((0, 5, 2), np.float32))


class Detector(ABC):
    """Finds faces. What it finds in a picture does not depend on the other pictures of the batch."""

    @abstractmethod
    def detect(self, pictures: Sequence[Picture]) -> list[Faces]:
        """Find the faces of each picture, in the order of the pictures."""


def make_detector(settings: Align) -> Detector:
    """The detector that `align.detector` names. MienError: its weights are not on this disk."""
    # each implementation is imported only when asked for: torch and dlib take seconds
    if settings.detector == "mtcnn":
        from mien.faces.mtcnn import Mtcnn

        return Mtcnn(min_face_px=max(12, min(settings.min_face_px, 40)))
    if settings.detector == "dlib_hog":
        from mien.faces.dlib_faces import DlibHog

        return DlibHog()
    if settings.detector == "sfd":
        from mien.faces.sfd import Sfd

        return Sfd()
    from mien.faces.blazeface import BlazeFace

    return BlazeFace()


def detect_shrunk(detector: Detector, pictures: Sequence[Picture], longest_side_px: int) -> list[Faces]:
    """Detect in copies with a longest side of at most `longest_side_px`; faces in px of the originals."""
    factors = [min(1.0, longest_side_px / max(p.shape[:2])) for p in pictures]
    small = [_shrink(p, f) if f < 1 else p for p, f in zip(pictures, factors, strict=True)]
    found = detector.detect(small)
    return [_enlarge(f, s, p) for f, s, p in zip(found, small, pictures, strict=True)]


def _shrink(picture: Picture, factor: float) -> Picture:
    height, width = picture.shape[:2]
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _enlarge(faces: Faces, small: Picture, picture: Picture) -> Faces:
    if small.shape == picture.shape:
        return faces
    scale = np.array([picture.shape[1] / small.shape[1], picture.shape[0] / small.shape[0]], np.float32)
    # a box is made of edges, a point of a pixel's centre: centres move by half a pixel of either grid
    return Faces(faces.boxes * np.tile(scale, 2), faces.scores, (faces.five + 0.5) * scale - 0.5)
