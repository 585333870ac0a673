"""Heat maps of HS-OCFER and its plain auto-encoder against regions of action units (the paper's Fig. 4).

Grad-CAM by the library `grad-cam`: of the headline score S on a layer's output. The paper names neither layer
nor target; these are the last two stages of the encoder, and S as well as -S, since S grows with alienness.
"""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.image import show_cam_on_image
from torch import Tensor, nn

from mien import methods
from mien.config import Params
from mien.config.train import Cell
from mien.evaluation.facts import hidden_because
from mien.evaluation.markdown import Grid
from mien.evaluation.one_class.orderings import ablations
from mien.evaluation.one_class.outcomes import OneClassOutcome, in_order
from mien.evaluation.one_class.regions import PROTOTYPES, Points, Polygon, mask, polygons, share_inside
from mien.evaluation.one_class.section import trials_of
from mien.evaluation.outcomes import CELLS
from mien.evaluation.rows import NONE, percent
from mien.methods.contract import Method
from mien.shards.batch import Batch
from mien.shards.folds import split_cell
from mien.shards.index import Index
from mien.shards.indexed import IndexedReader

ROWS = {"000": "plain auto-encoder", "111": "HS-OCFER"}
"""Rows of Table 4 that are looked into."""
NEUTRAL = "neutral"
FACES = 24  # of each expression, that the shares are means over
PICTURE_PX = 224
QUALITY = 85
OUTLINE = (255, 255, 255)

Heat = NDArray[np.float32]


@dataclass(frozen=True)
class Map:
    """One question to a model: which score of which model's is followed to the layer."""

    words: str
    own: bool  # of the model of the face's own expression; else of the model of neutral faces
    sign: int


MAPS = (
    Map("what speaks for its own expression (-S)", True, -1),
    Map("what speaks against its own expression (S)", True, 1),
    Map("what is alien to the model of neutral faces (S)", False, 1),
)
LAYERS = ("last stage", "last but one")
DRAWN = (MAPS[0], MAPS[2])


@dataclass(frozen=True)
class HeatMaps:
    """Figure 4 and its numbers."""

    about: str
    numbers: Grid
    columns: Sequence[str]
    pictures: Sequence[tuple[str, Sequence[bytes]]]  # expression, a JPEG a column
    hidden: str | None  # why there are no pictures


@dataclass(frozen=True)
class Look:
    """One map of some faces of one expression by one model, on each layer."""

    row: str  # of Table 4
    map: Map
    heat: Sequence[Heat]  # layer -> (N, H, W)


@dataclass(frozen=True)
class Seen:
    """Some test faces of one expression, cut to what the models see of them."""

    expression: str
    faces: NDArray[np.uint8]  # (N, H, W, 3)
    regions: Sequence[list[Polygon]]
    looks: Sequence[Look]


class Scored(nn.Module):
    """The headline score of faces as the network that the library asks for; +1 or -1 times it."""

    def __init__(self, method: Method, batch: Batch, sign: int) -> None:
        super().__init__()
        self.method, self.batch, self.sign = method, batch, sign

    def forward(self, shown: Tensor) -> Tensor:
        """(N, 1). `shown` only tells the library how large its maps shall be."""
        return self.sign * self.method.predict(self.batch)[:, :1]


def heat_maps(method: Method, batch: Batch, layer: str, sign: int, height: int, width: int) -> Heat:
    """Grad-CAM of `sign` times the headline score on a module's output: (N, height, width) in 0..1 a face."""
    scored = Scored(method, batch, sign)
    with torch.enable_grad(), GradCAM(scored, [method.get_submodule(layer)]) as cam:
        maps = cam(torch.zeros(len(batch), 1, height, width), targets=[lambda score: score[0]] * len(batch))
    return np.asarray(maps, dtype=np.float32)


def read_heat_maps(
    outcomes: Sequence[OneClassOutcome], indexes: Mapping[str, Index], params: Params
) -> HeatMaps | None:
    """Figure 4 of the first trial that HS-OCFER ran, on the test faces of its first fold and seed.

    The plain auto-encoder stands beside it where it was trained on the same cell. None without models.
    """
    for corpus, trial, own in trials_of(outcomes):
        rows = {row: outcome for row, outcome in ablations(own).items() if row in ROWS}
        if "111" in rows:
            cells = _cells(rows, trial)
            seen = _look(rows, cells, indexes[corpus], params)
            if seen:
                hidden = hidden_because(params.corpora[corpus], params.report.show_photographs)
                return _told(seen, list(rows), corpus, cells[0], hidden)
    return None


def _cells(rows: Mapping[str, OneClassOutcome], trial: str) -> list[Cell]:
    """The first seed's and fold's cells that all rows have models of, one a normal class."""
    common = [
        cell
        for told in rows["111"].run["cells"]
        if (cell := Cell(**{name: told[name] for name in Cell._fields})).trial == trial
        and all((_folder(outcome, cell) / methods.WEIGHTS).is_file() for outcome in rows.values())
    ]
    return [cell for cell in common if (cell.seed, cell.fold) == (common[0].seed, common[0].fold)]


def _folder(outcome: OneClassOutcome, cell: Cell) -> Path:
    return outcome.folder / CELLS / cell.name


def _look(
    rows: Mapping[str, OneClassOutcome], cells: Sequence[Cell], index: Index, params: Params
) -> list[Seen]:
    """The faces of each expression that has action units, and all maps of them."""
    by_class = {cell.normal: cell for cell in cells}
    found = []
    for expression in (name for name in in_order(list(by_class)) if name in PROTOTYPES):
        cell = by_class[expression]
        entry = rows["111"].entry
        test = split_cell(index, cell, entry.validation_share, params.shard.seed).test
        chosen = test[index.expression[test] == expression][:FACES]
        if len(chosen):
            reader = IndexedReader(index, chosen, index.classes, ("faces", "label", "points"), threads=1)
            batch = next(iter(reader.in_order(FACES)))
            models = {True: cell, False: by_class.get(NEUTRAL)}
            found.append(_seen(expression, batch, rows, models))
    return found


def _seen(
    expression: str,
    batch: Batch,
    rows: Mapping[str, OneClassOutcome],
    cells: Mapping[bool, Cell | None],
) -> Seen:
    """cells: of the model of the own expression (True), and of that of neutral faces (False)."""
    height, width = batch.faces.shape[-2:]
    window = float(rows["111"].run["settings"].get("window", 1.0))
    top, left = (round(side * (1 - window) / 2) for side in (height, width))
    looks = []
    for row, outcome in rows.items():
        for own, cell in cells.items():
            method = methods.load(_folder(outcome, cell))[0] if cell else None
            for asked in (m for m in MAPS if method is not None and m.own == own):
                assert method is not None
                sizes = (height - 2 * top, width - 2 * left)
                heat = [heat_maps(method, batch, layer, asked.sign, *sizes) for layer in method.heat_layers]
                looks.append(Look(row, asked, heat))
    assert batch.points is not None
    points: Points = batch.points.numpy() - np.array([left, top], dtype=np.float32)
    pixels = batch.faces[..., top : height - top, left : width - left].permute(0, 2, 3, 1).numpy()
    return Seen(expression, pixels, [polygons(face, expression) for face in points], looks)


def _told(seen: Sequence[Seen], rows: Sequence[str], corpus: str, cell: Cell, hidden: str | None) -> HeatMaps:
    rows = [row for row in ROWS if row in rows]
    drawn = [m for m in DRAWN if any(look.map is m for some in seen for look in some.looks)]
    about = (
        f"{corpus}, {cell.trial}, fold {cell.fold}, seed {cell.seed}: test faces, at most {FACES} of each "
        "expression, and models that were not trained on them. Outlined are the regions of the action units "
        "of the expression. Heat is Grad-CAM of the alien score S at the output of an encoder stage; it "
        "tells what moves S, not what is true of a face. Heat spread evenly would have the regions' share of "
        "the area."
    )
    return HeatMaps(
        about=about,
        numbers=_numbers(seen, rows),
        columns=["regions", *(f"{ROWS[row]}: {m.words}" for m in drawn for row in rows)],
        pictures=[] if hidden else [(some.expression, _pictures(some, rows, drawn)) for some in seen],
        hidden=hidden,
    )


def _numbers(seen: Sequence[Seen], rows: Sequence[str]) -> Grid:
    """For each map and layer: share of the area, and of each model the share of its heat."""
    body = []
    layers = min(len(look.heat) for some in seen for look in some.looks)
    for asked in MAPS:
        for layer in range(layers):
            shares = {row: _shares(seen, row, asked, layer) for row in rows}
            if any(own for own in shares.values()):
                words = LAYERS[layer]
                body.append([asked.words, words, percent(_area(seen)), *map(_mean_words, shares.values())])
    header = ("map", "layer", "area of the regions, %", *(f"{ROWS[row]}: heat inside, %" for row in rows))
    return Grid(header, body, "Means over faces of all expressions with action units.")


def _shares(seen: Sequence[Seen], row: str, asked: Map, layer: int) -> list[float]:
    """Of each face the share of heat inside its regions; NaN for one without heat."""
    return [
        share_inside(heat, mask(region, *heat.shape))
        for some in seen
        for look in some.looks
        if look.row == row and look.map is asked
        for heat, region in zip(look.heat[layer], some.regions, strict=True)
    ]


def _area(seen: Sequence[Seen]) -> float:
    areas = [mask(region, *some.faces.shape[1:3]).mean() for some in seen for region in some.regions]
    return float(np.mean(areas))


def _mean_words(shares: Sequence[float]) -> str:
    """`41.2 (96 faces)`."""
    finite = [share for share in shares if not math.isnan(share)]
    if not finite:
        return NONE
    blank = f", {len(shares) - len(finite)} without heat" if len(finite) < len(shares) else ""
    return f"{percent(math.fsum(finite) / len(finite))} ({len(finite)} faces{blank})"


def _pictures(some: Seen, rows: Sequence[str], drawn: Sequence[Map]) -> list[bytes]:
    """Of the first face: itself, and its maps on the last stage, with the regions outlined on each."""
    face, regions = some.faces[0], some.regions[0]
    shown = [face]
    for asked in drawn:
        for row in rows:
            for look in (x for x in some.looks if x.row == row and x.map is asked):
                overlaid = show_cam_on_image(
                    face.astype(np.float32) / 255,
                    look.heat[0][0],
                    use_rgb=True,
                    colormap=cv2.COLORMAP_INFERNO,
                )
                shown.append(overlaid)
    return [_outlined(picture, regions) for picture in shown]


def _outlined(picture: NDArray[np.uint8], regions: Sequence[Polygon]) -> bytes:
    image = Image.fromarray(picture)
    scale = PICTURE_PX / image.width
    image = image.resize((PICTURE_PX, round(image.height * scale)), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for polygon in regions:
        draw.polygon([(float(x * scale), float(y * scale)) for x, y in polygon], outline=OUTLINE)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
