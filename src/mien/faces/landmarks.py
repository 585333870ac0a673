"""68 points (iBUG order) on aligned crops: predictors behind one face, and what is made of the points."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.config.faces import Align, Landmarks
from mien.faces.align import eye_places, to_crop
from mien.faces.detect import Picture

Points = NDArray[np.float32]
"""(..., 68, 2): x, y in px."""

REGIONS: dict[str, tuple[int, ...]] = {
    "jaw": tuple(range(17)),
    "brows": tuple(range(17, 27)),
    "nose": tuple(range(27, 36)),
    "eyes": tuple(range(36, 48)),
    "mouth": tuple(range(48, 68)),
    "all": tuple(range(68)),
}

MIRROR: tuple[int, ...] = (
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1),
    45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65,
)  # fmt: skip
"""Which point takes place k when a face is mirrored."""

INDICES_49: tuple[int, ...] = (*range(17, 60), 61, 62, 63, 65, 66, 67)
"""The 49 of the 68 that trackers such as IntraFace give: no jaw, no inner mouth corners."""


class Predictor(ABC):
    """Places 68 points on crops that `align` made."""

    @abstractmethod
    def predict(self, crops: Sequence[Picture]) -> Points:
        """Points (N, 68, 2) in crop px, for crops (S, S, 3) RGB."""


class DlibPredictor(Predictor):
    """dlib's trees, started from the box that dlib's own detector would draw about the eyes' known places."""

    # the box's side and how far its centre lies below the eye line, in eye distances: the mean of dlib's own
    # boxes over 68 photographs (standard deviation 0.13 of the side, 0.1 of the centre)
    SIDE, BELOW = 2.40, 0.49
    # dlib gives whole px: crops are enlarged until the eyes are so far apart that this does not show
    EYES_PX = 160

    def __init__(self, align: Align) -> None:
        from mien.faces.dlib_faces import predict_68  # dlib loads 100 MB: only where it is wanted

        self._predict = predict_68
        eyes = eye_places(align)
        distance = eyes[1, 0] - eyes[0, 0]
        self._growth = max(1, math.ceil(self.EYES_PX / distance))
        centre = eyes.mean(0) + np.array([0.5, 0.5 + self.BELOW * distance])
        half = self.SIDE * distance / 2
        self._box = np.array([*(centre - half), *(centre + half)]) * self._growth

    def predict(self, crops: Sequence[Picture]) -> Points:
        """Place the points, one crop after another: some 2 ms each."""
        places = [np.empty((0, 68, 2), np.float32), *(self._one(crop)[None] for crop in crops)]
        return np.concatenate(places)

    def _one(self, crop: Picture) -> Points:
        large = cv2.resize(crop, None, fx=self._growth, fy=self._growth, interpolation=cv2.INTER_CUBIC)
        return np.asarray(
            (self._predict(np.asarray(large, np.uint8), self._box) + 0.5) / self._growth - 0.5,
            dtype=np.float32,
        )


def make_predictor(settings: Landmarks, align: Align) -> Predictor:
    """The predictor that `landmarks.model` names. MienError: its weights are not on this disk."""
    if settings.model == "fan":
        from mien.faces.fan import FanPredictor

        return FanPredictor(align, settings.batch_crops)
    if settings.model == "dlib":
        return DlibPredictor(align)
    raise ValueError(f"landmarks.model {settings.model} takes no predictor")


def carried(points: Sequence[float], transform: Sequence[float]) -> Points:
    """Points given with the corpus (136 numbers, picture px) in crop px (68, 2), by a row of `aligned`."""
    matrix = np.asarray(transform, np.float64).reshape(2, 3)
    return to_crop(np.asarray(points, np.float64).reshape(68, 2), matrix).astype(np.float32)


def normalised_errors(points: Points, truth: Points) -> dict[str, NDArray[np.float64]]:
    """Per face (N,), by region: mean distance of the points over that of the true outer eye corners."""
    away = np.linalg.norm(points.astype(np.float64) - truth, axis=-1)
    apart = np.linalg.norm(truth[:, 45].astype(np.float64) - truth[:, 36], axis=-1)
    return {region: away[:, rows].mean(axis=1) / apart for region, rows in REGIONS.items()}


def normalised_mean_error(points: Points, truth: Points) -> dict[str, float]:
    """`normalised_errors` averaged over faces, by region: 0.05 is five per cent of the outer eye distance."""
    return {region: float(errors.mean()) for region, errors in normalised_errors(points, truth).items()}


def points49(points: Points) -> Points:
    """The 49 points (..., 49, 2) among 68."""
    return points[..., INDICES_49, :]


def mirror(points: Points, width_px: int) -> Points:
    """The points (..., 68, 2) of the mirrored picture, in iBUG order again."""
    turned = points[..., MIRROR, :].copy()
    turned[..., 0] = width_px - 1 - turned[..., 0]
    return turned


def eye_centres(points: Points) -> Points:
    """The mean of each eye's six points (..., 2, 2), the picture's left eye first."""
    return np.stack([points[..., 36:42, :].mean(axis=-2), points[..., 42:48, :].mean(axis=-2)], axis=-2)
