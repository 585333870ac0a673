"""`mien predict`: a model on pictures from the disk, and what it saw drawn over them."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from mien import methods
from mien.config import MienError
from mien.evaluation.inference import Answer, Predictor
from mien.manifest.pictures import Reject, decode, read_bytes

FOUND, BAR, BACK = (0, 229, 255), (255, 193, 7), (20, 24, 28)
OVERLAY_PX = 640  # the longer side of a drawn copy is at least this, so that the words can be read


def predict_files(
    root: Path, model: str, pictures: Sequence[Path], overlay: Path | None
) -> list[dict[str, Any]]:
    """One answer a picture, in order; with `overlay`, a PNG a picture in that folder.

    MienError: no such model, or two pictures would be drawn to one file.
    """
    with tempfile.TemporaryDirectory(prefix="mien-model-") as scratch:
        predictor = Predictor(find_model(root, model, Path(scratch)), landmarks=overlay is not None)
    if overlay is not None:
        _refuse_equal_names(pictures)
        overlay.mkdir(parents=True, exist_ok=True)
    answers = []
    for picture in pictures:
        try:
            pixels = decode(read_bytes(picture.parent, picture.name))
        except Reject as reject:
            answers.append(_row(picture, Answer(None, str(reject))))
            continue
        answer = predictor.predict([pixels])[0]
        if overlay is not None:
            draw(Image.fromarray(pixels), answer).save(overlay / f"{picture.stem}.png")
        answers.append(_row(picture, answer))
    return answers


def find_model(root: Path, model: str, scratch: Path) -> Path:
    """The folder of weights behind an experiment's name, a folder, or an address in the registry.

    What the registry gives is fetched into `scratch`. MienError tells what is trained here.
    """
    if model.startswith("models:/"):
        from mien.tracking.registry import fetch_model

        return fetch_model(model, root, scratch)
    for folder in (Path(model), root / model):
        if (folder / methods.DESCRIPTION).is_file():
            return folder
    run = root / "runs" / model
    if (run / "run.json").is_file():
        from mien.tracking.registry import choose

        chosen: Path = choose(json.loads((run / "run.json").read_text(encoding="utf-8")), run).folder
        return chosen
    trained = sorted(path.parent.name for path in (root / "runs").glob("*/run.json"))
    known = (
        f"trained here: {', '.join(trained)}" if trained else "nothing is trained here yet, run `make repro`"
    )
    raise MienError(f"{model} is neither a trained experiment, a model folder nor models:/NAME; {known}.")


def draw(picture: Image.Image, answer: Answer) -> Image.Image:
    """A copy with the face's box, its 68 points and a bar an expression; or the reason why there is none."""
    scale = max(1.0, OVERLAY_PX / max(picture.size))
    image = picture.resize(
        (round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BICUBIC
    )
    pen = ImageDraw.Draw(image)
    if answer.box is not None:
        pen.rectangle([float(v) * scale for v in answer.box], outline=FOUND, width=3)
    if answer.points is not None:
        for x, y in answer.points * scale:
            pen.ellipse((x - 2.5, y - 2.5, x + 2.5, y + 2.5), fill=FOUND, outline=BACK)
    return _with_bars(image, answer)


def _with_bars(image: Image.Image, answer: Answer) -> Image.Image:
    lines = sorted((answer.probabilities or {}).items(), key=lambda line: -line[1])
    row, font = 30, ImageFont.load_default(20)
    page = Image.new("RGB", (max(image.width, 420), image.height + row * max(1, len(lines)) + 16), BACK)
    page.paste(image, (0, 0))
    pen = ImageDraw.Draw(page)
    if not lines:
        pen.text((12, image.height + 8), answer.reason or "", fill="white", font=font)
    for number, (name, probability) in enumerate(lines):
        y = image.height + 8 + number * row
        pen.rectangle((120, y + 4, 120 + (page.width - 210) * probability, y + row - 6), fill=BAR)
        pen.text((12, y), name, fill="white", font=font)
        pen.text((page.width - 80, y), f"{probability:.1%}", fill="white", font=font)
    return page


def _refuse_equal_names(pictures: Sequence[Path]) -> None:
    seen: dict[str, Path] = {}
    for picture in pictures:
        if picture.stem in seen:
            raise MienError(
                f"{seen[picture.stem]} and {picture} would both be drawn to {picture.stem}.png; rename one."
            )
        seen[picture.stem] = picture


def _row(picture: Path, answer: Answer) -> dict[str, Any]:
    def listed(array: Any) -> Any:
        return None if array is None else array.round(2).tolist()

    return {
        "picture": str(picture),
        "expression": answer.expression,
        "probabilities": answer.probabilities,
        "reason": answer.reason,
        "box": listed(answer.box),
        "points": listed(answer.points),
        "score": answer.score,
    }
