"""Pictures of SNA's section: what its networks make of faces, and sequences that it names wrongly."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from mien.evaluation.neighbourhood.sequences import Failure
from mien.evaluation.one_class.outcomes import in_order
from mien.methods.sna import SNA
from mien.parts.sna_neighbourhood import Neighbourhood
from mien.shards.index import Index
from mien.shards.indexed import IndexedReader
from mien.shards.order import Rows

FACES, DRAWN = 7, 2  # faces on the sheet, neighbours of each
STEPS, FRAME_MS = 12, 120  # of a strip, there and back
SIDE_PX, QUALITY = 96, 85
STRIPS = 6
COLUMNS = (
    "face",
    "auto-encoder",
    "refined",
    *(f"neighbour {n}" for n in range(1, DRAWN + 1)),
    "its neighbourhood",
)


@dataclass(frozen=True)
class NeighbourSheet:
    """Figs. 3 to 5: rows of faces, an encoded picture a column; the last column moves."""

    about: str
    rows: Sequence[tuple[str, Sequence[bytes]]]


@dataclass(frozen=True)
class Strip:
    """A failing sequence: what it shows, and each tested frame with what was said of it."""

    title: str
    frames: Sequence[tuple[bytes, str]]


def one_of_each(index: Index, rows: Rows) -> list[int]:
    """The first row of each expression among some rows, in canonical order, at most FACES."""
    first: dict[str, int] = {}
    for row in sorted(rows.tolist()):
        first.setdefault(str(index.expression[row]), row)
    return [first[name] for name in in_order(list(first))][:FACES]


@torch.no_grad()
def neighbour_sheet(method: SNA, index: Index, rows: Sequence[int], about: str) -> NeighbourSheet:
    """What a trained model's auto-encoder makes of some faces that it has not learnt from."""
    near = method.aids["neighbourhood"]
    assert isinstance(near, Neighbourhood)
    noise = float(near.noise)
    body = []
    for row in rows:  # one at a time: a reader hands rows over in ascending order
        reader = IndexedReader(index, [row], index.classes, ("faces", "label"), threads=1)
        batch = next(iter(reader.in_order(1)))
        x = method.pixels(batch)
        drawn = [method.neighbours(x, batch.seed + number) for number in range(DRAWN)]
        shown = [x, near.rebuilt(x, refined=False), near.rebuilt(x), *drawn]
        cells = [encoded(Image.fromarray(_grey(picture)), "JPEG") for picture in shown]
        body.append((str(index.expression[row]), [*cells, moving(method, x, batch.seed, noise)]))
    about += (
        f" Neighbours are drawn with noise of {noise:.2g} of each dimension's spread. The last column moves "
        "from the reconstruction through a neighbour to twice the noise and back."
    )
    return NeighbourSheet(about, body)


def strips(cases: Sequence[Failure], index: Index) -> list[Strip]:
    """The first few failing sequences, consistent ones first."""
    found = []
    for case in sorted(cases, key=lambda c: (not c.consistent, c.cell, list(c.rows)))[:STRIPS]:
        reader = IndexedReader(index, case.rows, index.classes, ("faces", "label"), threads=1)
        by_key = dict(zip(*_faces(reader), strict=True))
        pictures = [by_key[str(index.keys[row])] for row in case.rows]
        told = [f"named {index.classes[p]}" for p in case.predicted]
        kind = "consistent failure" if case.consistent else "failure"
        name, seed = index.column("sequence")[case.rows[0]], case.cell[1]
        title = f"{index.classes[case.label]}, {name}: {kind}, seed {seed}"
        frames = [
            (encoded(Image.fromarray(p), "JPEG"), words)
            for p, words in zip(pictures, [*told, "learnt"], strict=True)
        ]
        found.append(Strip(title, frames))
    return found


def _faces(reader: IndexedReader) -> tuple[list[str], list[NDArray[np.uint8]]]:
    keys: list[str] = []
    faces: list[NDArray[np.uint8]] = []
    for batch in reader.in_order(32):
        keys += batch.keys
        faces += list(batch.faces.permute(0, 2, 3, 1).numpy())
    return keys, faces


def moving(method: SNA, x: Tensor, seed: Tensor, noise: float) -> bytes:
    """From a face's reconstruction through a neighbour to twice the noise, and back: an animated WebP."""
    way = [noise * 2 * step / STEPS for step in range(STEPS + 1)]
    frames = [
        Image.fromarray(_grey(method.neighbours(x, seed, size))).resize((SIDE_PX, SIDE_PX))
        for size in [*way, *way[-2:0:-1]]
    ]
    buffer = io.BytesIO()
    frames[0].save(
        buffer, "WEBP", save_all=True, append_images=frames[1:], duration=FRAME_MS, loop=0, quality=QUALITY
    )
    return buffer.getvalue()


def _grey(picture: Tensor) -> NDArray[np.uint8]:
    """(1, 1, H, W) in about -1..1 -> (H, W) uint8."""
    values = ((picture[0, 0] + 1) * 127.5).clamp(0, 255)
    return np.asarray(values.round().byte().numpy())


def encoded(image: Image.Image, kind: str) -> bytes:
    """A picture of SIDE_PX as an encoded file."""
    buffer = io.BytesIO()
    image.convert("RGB").resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC).save(
        buffer, kind, quality=QUALITY
    )
    return buffer.getvalue()
