"""A trained model on pictures as they come: find the face, cut it out, predict."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mien import methods
from mien.config.faces import Align, Landmarks
from mien.faces.align import Aligned, align, encode, to_picture
from mien.faces.detect import Picture, make_detector
from mien.faces.landmarks import make_predictor
from mien.manifest.pictures import Reject, decode
from mien.shards.batch import Batch

FACES_AT_A_TIME = 32


@dataclass(frozen=True)
class Answer:
    """What a model says of one picture: a face with probabilities, or the reason why there is none."""

    probabilities: dict[str, float] | None  # by expression, summing to 1
    reason: str | None  # no face, unreadable, too small, ...; None when there is an answer
    box: NDArray[np.float32] | None = None  # (4,) left, top, right, bottom in picture px
    five: NDArray[np.float32] | None = None  # (5, 2) eyes, nose, mouth corners in picture px
    points: NDArray[np.float32] | None = None  # (68, 2) in picture px, where they were asked for
    score: float | None = None  # of the detector

    @property
    def expression(self) -> str | None:
        """The likeliest expression."""
        return max(self.probabilities, key=self.probabilities.__getitem__) if self.probabilities else None


class Predictor:
    """A model folder (weights and description) and the detector that its training faces came from."""

    def __init__(self, folder: Path, landmarks: bool = False) -> None:
        """`landmarks`: give 68 points even if the method needs none. MienError names the file at fault."""
        self.method, self.described = methods.load(folder)
        self._align = Align.model_validate(self.described["align"])
        self._detector = make_detector(self._align)
        self._points = None
        if landmarks or "points" in self.method.needs:
            told = Landmarks.model_validate(self.described.get("landmarks", {}))
            given = told.model == "given"  # a photograph from outside brings no points with it
            self._points = make_predictor(Landmarks() if given else told, self._align)

    @property
    def classes(self) -> tuple[str, ...]:
        """The expressions it tells apart."""
        return self.method.classes

    def predict_encoded(self, pictures: Sequence[bytes]) -> list[Answer]:
        """As `predict`, from the bytes of JPEG, PNG, ... files; what is unreadable gets its reason."""
        read: list[Picture | Reject] = []
        for data in pictures:
            try:
                read.append(decode(data))
            except Reject as reject:
                read.append(reject)
        return self.predict(read)

    def predict(self, pictures: Sequence[Picture | Reject]) -> list[Answer]:
        """An answer a picture (H, W, 3) uint8 RGB, in order; a Reject is answered with its reason."""
        answers: list[Answer] = []
        for start in range(0, len(pictures), FACES_AT_A_TIME):
            answers += self._some(pictures[start : start + FACES_AT_A_TIME])
        return answers

    def _some(self, pictures: Sequence[Picture | Reject]) -> list[Answer]:
        found: list[Aligned | Reject] = [Reject("")] * len(pictures)
        usable = [k for k, picture in enumerate(pictures) if not isinstance(picture, Reject)]
        readable = [picture for picture in pictures if not isinstance(picture, Reject)]
        for k, result in zip(usable, align(self._detector, readable, self._align), strict=True):
            found[k] = result
        faces = [face for face in found if isinstance(face, Aligned)]
        answered = iter(self._answers(faces))
        return [
            next(answered)
            if isinstance(face, Aligned)
            else Answer(None, str(picture if isinstance(picture, Reject) else face))
            for picture, face in zip(pictures, found, strict=True)
        ]

    def _answers(self, faces: Sequence[Aligned]) -> list[Answer]:
        if not faces:
            return []
        # through the same JPEG as the training faces: its losses are part of what the model has learnt
        crops = np.stack([decode(encode(face.crop, self._align.jpeg_quality)) for face in faces])
        points = self._points.predict(list(crops)) if self._points else None
        batch = Batch(
            keys=tuple(str(k) for k in range(len(faces))),
            faces=torch.from_numpy(np.ascontiguousarray(crops.transpose(0, 3, 1, 2))),
            label=torch.full((len(faces),), -1),
            seed=torch.zeros(len(faces), dtype=torch.int64),
            subject=torch.full((len(faces),), -1),
            points=None if points is None else torch.from_numpy(points),
            total=len(faces),
        )
        with torch.no_grad():
            rows = self.method.predict(batch).double().tolist()
        return [
            Answer(
                dict(zip(self.classes, row, strict=True)),
                None,
                face.box,
                face.five,
                None if points is None else to_picture(points[k], face.transform).astype(np.float32),
                face.score,
            )
            for k, (face, row) in enumerate(zip(faces, rows, strict=True))
        ]
