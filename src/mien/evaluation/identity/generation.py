"""What IDFERM's generator makes of people it has never seen (the paper's Table 1 and Figures 5 and 10)."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from mien import methods
from mien.config import Params
from mien.config.train import Cell
from mien.evaluation.facts import hidden_because
from mien.evaluation.identity.judge import NeutralJudge
from mien.evaluation.identity.verification import Verification, verify
from mien.evaluation.outcomes import CELLS, Outcome
from mien.methods.idferm import IDFERM
from mien.parts.frontal import aligned
from mien.parts.hard_negatives import offer
from mien.parts.hng import Guides
from mien.shards.folds import split_cell
from mien.shards.index import Index
from mien.shards.indexed import IndexedReader
from mien.shards.selection import cleanness

NEUTRAL = "neutral"
FACES_A_BATCH = 256
SHOWN_PEOPLE = 6
ENLARGED = 2
QUALITY = 90

Judge = Callable[[Tensor], NDArray[np.bool_]]
"""Faces (N, 1, 64, 64) in 0..255 -> (N,) whether each is taken for neutral."""


@dataclass(frozen=True)
class Measured:
    """The figures of one cell, judged by networks that never saw its people."""

    faces: int  # with an expression, and with a person's neutral face beside them in the test part
    input_away: float  # mean |face - true neutral|, of 1
    made_away: float  # mean |generated - true neutral|, of 1
    neutral: float  # share of the generated that the judge takes for neutral
    input_neutral: float  # the same of the faces themselves, with their expression: the clean ones
    true_neutral: float  # the same of people's true neutral faces: the clean ones
    verification: Verification


@dataclass(frozen=True)
class Generated:
    """One experiment."""

    name: str
    identity_weight: float
    cells: Sequence[Measured]

    def mean(self, figure: Callable[[Measured], float]) -> float:
        """Over faces, whatever their cell."""
        return sum(figure(cell) * cell.faces for cell in self.cells) / sum(cell.faces for cell in self.cells)


@dataclass(frozen=True)
class Sheet:
    """Figure 5: face, generated, true neutral."""

    about: str
    rows: Sequence[tuple[str, Sequence[bytes]]]  # expression, a JPEG a column
    hidden: str | None


@dataclass(frozen=True)
class Seen:
    """The test faces of a cell, as the generator takes them and what it makes of them; bytes 0..255."""

    faces: Tensor  # (N, 1, 64, 64)
    made: Tensor
    target: Tensor  # the true neutral face of the person, where there is one
    known: Tensor  # (N,) whether there is
    label: Tensor
    person: Tensor
    expressive: Tensor  # (N,) whether the face has another expression than neutral
    clean: Tensor  # (N,) whether it is frontal and not taken in the wild, or nothing is known of that

    @property
    def asked(self) -> Tensor:
        """Rows (N,) that count."""
        return self.known & self.expressive


def look(method: IDFERM, index: Index, rows: NDArray[np.int64]) -> Seen:
    """Run the generator over some rows; a person's true neutral face is the one most from the front."""
    assert method.hng is not None
    reader = IndexedReader(index, rows, index.classes, method.needs, threads=1)
    guides, found = Guides(), []
    neutral = index.classes.index(NEUTRAL) if NEUTRAL in index.classes else -1
    for batch in reader.in_order(FACES_A_BATCH):
        assert batch.points is not None
        assert batch.subject is not None
        faces = aligned(batch.faces, batch.points)
        offer(guides, faces, batch, (batch.label == neutral) & (batch.label >= 0))
        found.append((faces, method.hng.generated(batch), batch.label, batch.subject))
    faces, made, label, person = (torch.cat(parts) for parts in zip(*found, strict=True))
    target, known = torch.zeros_like(made), torch.zeros_like(label, dtype=torch.bool)
    if len(guides):
        scaled, known = guides.of(person)
        target = ((scaled + 1) * 127.5).round().byte()
    clean = torch.from_numpy(cleanness(index, np.unique(rows)) != 0)
    return Seen(faces, made, target, known, label, person, label != neutral, clean)


@torch.no_grad()
def measure(method: IDFERM, seen: Seen, judge: Judge) -> Measured:
    """One cell's figures, of at least one row that counts."""
    assert method.hng is not None
    faces, made, target = (part[seen.asked].float() for part in (seen.faces, seen.made, seen.target))
    shown, true = (seen.faces[seen.known & seen.clean & kind] for kind in (seen.expressive, ~seen.expressive))
    taken = [float(judge(part).mean()) if len(part) else np.nan for part in (made, shown, true)]
    known = [method.hng.known(part.float()).double().numpy() for part in (faces, made, seen.faces)]
    return Measured(
        faces=len(faces),
        input_away=float((faces - target).abs().mean() / 255),
        made_away=float((made - target).abs().mean() / 255),
        neutral=taken[0],
        input_neutral=taken[1],
        true_neutral=taken[2],
        verification=verify(known[0], known[1], known[2], seen.person.numpy()),
    )


def read_generated(
    outcomes: Sequence[Outcome], runs: Path, indexes: Mapping[str, Index], params: Params
) -> tuple[list[Generated], Sheet | None]:
    """Every experiment with a saved generator; the sheet is of the first."""
    figures: list[Generated] = []
    judges: dict[tuple[str, bytes], NeutralJudge] = {}
    sheet = None
    for outcome in outcomes:
        index = indexes[outcome.entry.corpus]
        if NEUTRAL not in index.classes:
            continue
        cells = []
        for cell, method in _models(outcome, runs):
            split = split_cell(index, cell, outcome.entry.validation_share, params.shard.seed)
            seen = look(method, index, split.test)
            part = (outcome.entry.corpus, split.train.tobytes())
            if part not in judges and seen.asked.any():
                judges[part] = NeutralJudge(NEUTRAL).learn(index, split.train)
            cells += [measure(method, seen, judges[part])] if seen.asked.any() else []
            if sheet is None:
                hidden = hidden_because(params.corpora[outcome.entry.corpus], params.report.show_photographs)
                sheet = _sheet(seen, index.classes, f"{outcome.name}, {cell.name}", hidden)
            weight = method.config.identity_weight
        if cells:
            figures.append(Generated(outcome.name, weight, cells))
    return figures, sheet


def _models(outcome: Outcome, runs: Path) -> list[tuple[Cell, IDFERM]]:
    found = []
    for cell in outcome.entry.cells(()):
        folder = runs / outcome.name / CELLS / cell.name
        if (folder / methods.WEIGHTS).is_file():
            method = methods.load(folder)[0]
            if isinstance(method, IDFERM) and method.hng is not None:
                found.append((cell, method))
    return found


def _sheet(seen: Seen, classes: Sequence[str], where: str, hidden: str | None) -> Sheet:
    """Some people, each with another expression."""
    about = f"{where}: people of the test part. From left: face, generated from it, true neutral face."
    if hidden:
        return Sheet(about, [], hidden)
    rows: list[tuple[str, list[bytes]]] = []
    people = sorted(set(seen.person[seen.asked].tolist()))[:SHOWN_PEOPLE]
    for number, person in enumerate(people):
        own = torch.nonzero(seen.asked & (seen.person == person))[:, 0]
        chosen = own[number * len(own) // len(people)]  # faces of one expression lie together
        pictures = [_jpeg(part[chosen, 0]) for part in (seen.faces, seen.made, seen.target)]
        rows.append((classes[int(seen.label[chosen])], pictures))
    return Sheet(about, rows, None)


def _jpeg(face: Tensor) -> bytes:
    image = Image.fromarray(face.round().clamp(0, 255).byte().numpy())
    buffer = io.BytesIO()
    image.resize((ENLARGED * image.width, ENLARGED * image.height)).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
