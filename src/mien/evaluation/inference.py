"""A trained model on pictures as they come: find the face, cut it out, predict."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mien import methods
from mien.config import MienError
from mien.config.faces import Align, Landmarks
from mien.evaluation.exported import Exported, is_exported, load_exported
from mien.faces.align import Aligned, align, encode, to_picture
from mien.faces.detect import Picture, make_detector
from mien.faces.landmarks import make_predictor
from mien.manifest.pictures import Reject, decode
from mien.methods.contract import Method
from mien.shards.batch import Batch

AT_A_TIME, PIXELS_AT_A_TIME = 32, 48_000_000
"""Pictures, and their pixels, that are held at once: huge photographs go through in smaller batches."""


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

    def told(self) -> dict[str, Any]:
        """As JSON: expression, probabilities, reason, box, points and score, lengths in picture px."""

        def listed(array: NDArray[np.float32] | None) -> list[Any] | None:
            return None if array is None else array.astype(float).round(2).tolist()

        return {
            "expression": self.expression,
            "probabilities": self.probabilities,
            "reason": self.reason,
            "box": listed(self.box),
            "points": listed(self.points),
            "score": self.score,
        }


class Predictor:
    """A model and the detector that its training faces came from."""

    def __init__(self, folder: Path, landmarks: bool = False) -> None:
        """`folder`: of weights and description, or a file that `mien export` wrote.

        `landmarks`: give 68 points even if the method needs none. MienError names the file at fault.
        """
        self.method: Method | Exported
        self.method, self.described = load_exported(folder) if is_exported(folder) else methods.load(folder)
        if self.method.scores:
            raise MienError(
                f"{folder} knows one normal class ({', '.join(self.method.classes)}) and names no "
                "expressions; take a model of an experiment that learns several classes."
            )
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

    def predict_encoded(self, pictures: Iterable[bytes]) -> list[Answer]:
        """As `predict`, from the bytes of JPEG, PNG, ... files; what is unreadable gets its reason."""
        return self.predict(decoded(data) for data in pictures)

    def predict(self, pictures: Iterable[Picture | Reject]) -> list[Answer]:
        """An answer a picture (H, W, 3) uint8 RGB, in order; a Reject is answered with its reason."""
        return [answer for _, answer in self.stream(pictures)]

    def stream(
        self, pictures: Iterable[Picture | Reject], at_a_time: int = AT_A_TIME
    ) -> Iterator[tuple[Picture | Reject, Answer]]:
        """As `predict`, each picture with its answer, one batch in memory: pictures may go on for hours."""
        held: list[Picture | Reject] = []
        pixels = 0
        for picture in pictures:
            size = 0 if isinstance(picture, Reject) else picture.shape[0] * picture.shape[1]
            if held and (len(held) >= at_a_time or pixels + size > PIXELS_AT_A_TIME):
                yield from zip(held, self._some(held), strict=True)
                held, pixels = [], 0
            held.append(picture)
            pixels += size
        if held:
            yield from zip(held, self._some(held), strict=True)

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


def decoded(data: bytes) -> Picture | Reject:
    """A picture's pixels, or why there are none."""
    try:
        return decode(data)
    except Reject as reject:
        return reject
