"""The faces on which two classifiers differ, as one picture."""

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from mien.evaluation.compared import Differing
from mien.manifest.pictures import decode
from mien.shards.index import Index
from mien.shards.tars import Tars

COLUMNS, FACE_PX, LINE_PX = 8, 150, 20
MOST = 64
"""Faces on a sheet; the table has them all."""
RIGHT, WRONG, INK, PAPER = "#005f45", "#b34700", "#1b1f24", "white"


def sheet(index: Index, differing: Sequence[Differing], first: str, second: str) -> bytes:
    """A PNG: each face with its actual expression, and what each side calls it, the right one in green.

    Where there are more than MOST, they are spread evenly over all, so that each kind of difference shows.
    """
    chosen = _spread(differing)
    rows = -(-len(chosen) // COLUMNS)
    head, cell = 3 * LINE_PX, FACE_PX + 3 * LINE_PX + 12
    page = Image.new("RGB", (COLUMNS * (FACE_PX + 12) + 12, head + rows * cell), PAPER)
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(14)
    shown = "" if len(chosen) == len(differing) else f"{len(chosen)} of "
    pen.text((12, 8), f"{shown}{len(differing)} faces that are named differently", INK, font)
    pen.text((12, 8 + LINE_PX), f"1: {first}    2: {second}    green: right, brown: wrong", INK, font)
    tars, row_of = Tars(index), {key: row for row, key in enumerate(index.keys.tolist())}
    for number, face in enumerate(chosen):
        x, y = 12 + (number % COLUMNS) * (FACE_PX + 12), head + (number // COLUMNS) * cell
        crop = Image.fromarray(decode(bytes(tars.read(row_of[face.key]))))
        page.paste(crop.resize((FACE_PX, FACE_PX), Image.Resampling.BICUBIC), (x, y))
        pen.text((x, y + FACE_PX + 2), face.actual, INK, font)
        for line, (side, named) in enumerate((("1", face.first), ("2", face.second)), start=1):
            colour = RIGHT if named == face.actual else WRONG
            pen.text((x, y + FACE_PX + 2 + line * LINE_PX), f"{side}: {named}", colour, font)
    out = io.BytesIO()
    page.save(out, "PNG")
    return out.getvalue()


def _spread(differing: Sequence[Differing]) -> list[Differing]:
    if len(differing) <= MOST:
        return list(differing)
    return [differing[number * len(differing) // MOST] for number in range(MOST)]
