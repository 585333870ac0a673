"""What a model saw, drawn over a copy of the picture."""

from PIL import Image, ImageDraw, ImageFont

from mien.evaluation.inference import Answer

FOUND, BAR, BACK = (0, 229, 255), (255, 193, 7), (20, 24, 28)
OVERLAY_PX = 640  # the longer side of a drawn copy is at least this, so that the words can be read
ROW_PX = 30


def draw(picture: Image.Image, answer: Answer, rows: int) -> Image.Image:
    """A copy with the face's box, its 68 points and a bar an expression; or the reason why there is none.

    rows: how many lines of text have room below, so that all frames of a video become equally large.
    """
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
    return _with_bars(image, answer, rows)


def _with_bars(image: Image.Image, answer: Answer, rows: int) -> Image.Image:
    lines = sorted((answer.probabilities or {}).items(), key=lambda line: -line[1])
    font = ImageFont.load_default(20)
    page = Image.new("RGB", (max(image.width, 420), image.height + ROW_PX * rows + 16), BACK)
    page.paste(image, (0, 0))
    pen = ImageDraw.Draw(page)
    if not lines:
        pen.text((12, image.height + 8), answer.reason or "", fill="white", font=font)
    for number, (name, probability) in enumerate(lines):
        y = image.height + 8 + number * ROW_PX
        pen.rectangle((120, y + 4, 120 + (page.width - 210) * probability, y + ROW_PX - 6), fill=BAR)
        pen.text((12, y), name, fill="white", font=font)
        pen.text((page.width - 80, y), f"{probability:.1%}", fill="white", font=font)
    return page
