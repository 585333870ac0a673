"""BlazeFace (Bazarevsky et al., 2019), the short-range network as face-alignment has it.

face-alignment cuts a centre square and drops the key points; here the whole picture is put into the
square.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from face_alignment.detection.blazeface.net_blazeface import BlazeFace as Network
from numpy.typing import NDArray

from mien.faces.detect import Detector, Faces, Picture
from mien.faces.weights import weights

INPUT_PX = 128
MOUTH_HALF_WIDTH = 0.4  # of the eye distance: BlazeFace knows the mouth's centre only


class BlazeFace(Detector):
    """BlazeFace with its own eye and nose points; the mouth corners are guessed about the mouth's centre."""

    def __init__(self) -> None:
        self.net = Network()
        self.net.load_state_dict(torch.load(weights("blazeface"), map_location="cpu", weights_only=True))
        self.net.load_anchors_from_npy(np.load(weights("blazeface_anchors")), "cpu")
        self.net.min_score_thresh = 0.5
        self.net.eval()

    def detect(self, pictures: Sequence[Picture]) -> list[Faces]:
        """Find faces; every picture becomes one square of the batch."""
        if not pictures:
            return []
        found = self.net.predict_on_batch(np.stack([_square(p) for p in pictures]))
        return [_faces(p, np.asarray(table)) for p, table in zip(pictures, found, strict=True)]


def _square(picture: Picture) -> Picture:
    height, width = picture.shape[:2]
    side = max(height, width)
    canvas = np.zeros((side, side, 3), np.uint8)
    canvas[:height, :width] = picture
    return np.asarray(cv2.resize(canvas, (INPUT_PX, INPUT_PX), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _faces(picture: Picture, table: NDArray[np.float32]) -> Faces:
    """Rows are top, left, bottom, right, points (eyes, nose, mouth, ears), score; in shares of the side."""
    if len(table) == 0:
        return Faces.none()
    side = max(picture.shape[:2])
    table = table[np.argsort(-table[:, 16], kind="stable")]
    boxes = table[:, [1, 0, 3, 2]] * side
    points = table[:, 4:12].reshape(-1, 4, 2) * side - 0.5
    half = (points[:, 1] - points[:, 0]) * MOUTH_HALF_WIDTH
    five = np.stack(
        [points[:, 0], points[:, 1], points[:, 2], points[:, 3] - half, points[:, 3] + half], axis=1
    )
    return Faces(boxes.astype(np.float32), table[:, 16].astype(np.float32), five.astype(np.float32))
