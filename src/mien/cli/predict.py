"""`mien predict`: a model on pictures and videos from the disk, and what it saw drawn over them."""

import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from typing import Any

from PIL import Image

from mien.cli.drawing import draw
from mien.cli.models import find_model
from mien.cli.sources import Source
from mien.cli.video import Copy, Video
from mien.config import MienError
from mien.config.progress import Progress
from mien.config.serve import Predict
from mien.evaluation.inference import Answer, Predictor, decoded
from mien.evaluation.timeline import Chart, Moment, smooth
from mien.faces.detect import Picture
from mien.manifest.pictures import Reject, read_bytes

SHORT_OF = 0.97  # of the frames that a video's header tells: fewer, and its end is missing


def load_predictor(root: Path, model: str, landmarks: bool) -> Predictor:
    """The model that a word stands for (`find_model`), ready to predict."""
    with tempfile.TemporaryDirectory(prefix="mien-model-") as scratch:
        return Predictor(find_model(root, model, Path(scratch)), landmarks)


def predict_sources(
    predictor: Predictor, found: Sequence[Source], overlay: Path | None, settings: Predict
) -> Iterator[dict[str, Any]]:
    """One row a picture and a row a frame of a video, in order; with `overlay`, drawn copies in that folder.

    Pictures go through in batches, which changes no answer. What cannot be read has a row with the reason.
    MienError: two pictures would be drawn to one file.
    """
    if overlay is not None:
        _refuse_equal_names(found)
    for is_video, some in groupby(found, key=lambda source: source.is_video):
        if is_video:
            for video in some:
                yield from _video(predictor, video, overlay, settings)
        else:
            yield from _pictures(predictor, list(some), overlay, settings.batch_pictures)


def _pictures(
    predictor: Predictor, found: Sequence[Source], overlay: Path | None, at_a_time: int
) -> Iterator[dict[str, Any]]:
    tell = Progress("predict, pictures")
    read = (_read(source.path) for source in found)
    answered = predictor.stream(read, at_a_time)
    for done, (source, (picture, answer)) in enumerate(zip(found, answered, strict=True), start=1):
        if overlay is not None and not isinstance(picture, Reject):
            drawn = _place(overlay, source, ".png")
            rows = len(answer.probabilities or (1,))
            draw(Image.fromarray(picture), answer, rows).save(drawn)
        yield _row(source, answer)
        if len(found) > 1:
            tell(done, len(found))


def _video(
    predictor: Predictor, source: Source, overlay: Path | None, settings: Predict
) -> Iterator[dict[str, Any]]:
    try:
        video = Video(source.path)
    except Reject as reject:
        yield _row(source, Answer(None, str(reject)))
        return
    tell, chart, latest = Progress(f"predict {source.name}, frames"), Chart(predictor.classes), -1
    with ExitStack() as stack:
        copy = None
        if overlay is not None:
            copy = stack.enter_context(Copy(_place(overlay, source, ".mp4"), video.rate))
        moments = _moments(predictor, video, copy, settings.batch_pictures)
        for moment in smooth(moments, settings.smooth_s):
            chart.add(moment)
            latest = moment.frame
            yield _row(source, moment.answer, moment)
            tell(latest + 1, max(video.frames, latest + 1))
    if latest < 0:
        yield _row(source, Answer(None, "a video without frames that can be read"))
        return
    if latest + 1 < SHORT_OF * video.frames:
        yield _row(source, Answer(None, f"breaks off: {latest + 1} of about {video.frames} frames were read"))
    if overlay is not None:
        chart.draw(_place(overlay, source, ".timeline.png"))


def _moments(predictor: Predictor, video: Video, copy: Copy | None, at_a_time: int) -> Iterator[Moment]:
    times: deque[float] = deque()

    def frames() -> Iterator[Picture | Reject]:
        for time_s, picture in video.read():
            times.append(time_s)
            yield picture

    for number, (picture, answer) in enumerate(predictor.stream(frames(), at_a_time)):
        if copy is not None and not isinstance(picture, Reject):
            copy.add(draw(Image.fromarray(picture), answer, len(predictor.classes)))
        yield Moment(number, times.popleft(), answer)


def _read(path: Path) -> Picture | Reject:
    try:
        return decoded(read_bytes(path.parent, path.name))
    except Reject as reject:
        return reject


def _place(overlay: Path, source: Source, suffix: str) -> Path:
    place = overlay / source.name.with_suffix(suffix)
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def _refuse_equal_names(found: Sequence[Source]) -> None:
    seen: dict[Path, Source] = {}
    for source in found:
        name = source.name.with_suffix(".mp4" if source.is_video else ".png")
        if name in seen:
            raise MienError(f"{seen[name].path} and {source.path} would both be drawn to {name}; rename one.")
        seen[name] = source


def _row(source: Source, answer: Answer, moment: Moment | None = None) -> dict[str, Any]:
    return {
        "picture": str(source.path),
        "frame": moment and moment.frame,
        "time_s": moment and round(moment.time_s, 4),
        **answer.told(),
        "smoothed": moment and moment.smoothed,
        "smoothed_expression": moment and moment.smoothed_expression,
    }
