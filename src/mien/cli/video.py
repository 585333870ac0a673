"""A video's frames, one in memory at a time, and copies of them with what the model saw."""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
from PIL import Image

from mien.faces.detect import Picture
from mien.manifest.pictures import Reject


class Video:
    """A video file that is read from its beginning to its end. Reject: it cannot be opened."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise Reject("unreadable: not a file")
        # an absolute path and one named backend: no address, no pattern of pictures, no camera
        self._capture = cv2.VideoCapture(str(path.resolve()), cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            raise Reject("not a video")
        self.frames = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        """How many there are, as its header says; 0 when it does not."""
        rate = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.rate = rate if np.isfinite(rate) and 0 < rate <= 1000 else 25.0

    def read(self) -> Iterator[tuple[float, Picture]]:
        """Each frame, upright RGB, with its time in seconds, which never goes back."""
        latest = -1 / self.rate
        while True:
            there, frame = self._capture.read()
            if not there:
                break
            told = float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000
            latest = told if told > latest else latest + 1 / self.rate
            yield latest, np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), dtype=np.uint8)
        self._capture.release()


class Copy:
    """An MP4 of frames as large as the first one; it has its name only once it is whole."""

    def __init__(self, path: Path, rate: float) -> None:
        self._path, self._rate = path, rate
        self._scratch = path.with_name(f".{path.name}.part.mp4")
        self._writer: cv2.VideoWriter | None = None

    def __enter__(self) -> "Copy":
        return self

    def add(self, frame: Image.Image) -> None:
        """Append a frame."""
        even = frame.width + frame.width % 2, frame.height + frame.height % 2
        if self._writer is None:
            code = cv2.VideoWriter.fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(str(self._scratch), cv2.CAP_FFMPEG, code, self._rate, even)
        page = Image.new("RGB", even)
        page.paste(frame, (0, 0))
        self._writer.write(cv2.cvtColor(np.asarray(page), cv2.COLOR_RGB2BGR))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.release()
            if kind is None:
                self._scratch.replace(self._path)
        self._scratch.unlink(missing_ok=True)
