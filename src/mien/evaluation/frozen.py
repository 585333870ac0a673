"""Frozen faces: photographs that no training may read, on which challenger and champion are compared.

They are a corpus of their own (`promotion.frozen`), so the training corpus may grow or be drawn into other
folds without touching them. Their digest is kept with the champion, and other faces are refused later.
Models get whole pictures, as their users give them: a face that is not found is an error of the model.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from mien.config import MienError
from mien.config.corpora import CorpusConfig
from mien.corpora import MANIFEST_FILE, picture_root
from mien.evaluation.inference import Predictor
from mien.manifest.expressions import classes_of
from mien.manifest.pictures import Reject, read_bytes
from mien.manifest.tables import MANIFEST, read_table

_COLUMNS = ["key", "path", "offset", "size", "sha256", "expression", "subject", "reject"]


class Face(NamedTuple):
    """One photograph of the frozen manifest."""

    key: str
    path: str
    offset: int | None
    size: int | None
    sha256: str
    expression: str
    person: str  # the key where the corpus does not say


@dataclass(frozen=True)
class FrozenManifest:
    """All labelled photographs of a frozen corpus, by key."""

    corpus: str
    root: Path  # that `path` starts from
    faces: tuple[Face, ...]

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The expressions that occur, in canonical order."""
        return classes_of({face.expression for face in self.faces})

    @cached_property
    def label(self) -> NDArray[np.int64]:
        """(N,) the number of each face's class."""
        number = {name: i for i, name in enumerate(self.classes)}
        return np.array([number[face.expression] for face in self.faces], dtype=np.int64)

    @property
    def person(self) -> list[str]:
        """Who is on each face."""
        return [face.person for face in self.faces]

    @cached_property
    def digest(self) -> str:
        """SHA-256 over keys, pictures, labels and people, wherever the files lie."""
        told = [[face.key, face.sha256, face.expression, face.person] for face in self.faces]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def read_frozen(name: str, config: CorpusConfig, directory: Path) -> FrozenManifest:
    """The frozen manifest of a corpus in its corpus directory. MienError: it is not there, or unlabelled."""
    if not (directory / MANIFEST_FILE).is_file():
        raise MienError(f"the frozen corpus {name} is not made yet; run `dvc repro download@{name}`.")
    table = read_table(directory / MANIFEST_FILE, MANIFEST, _COLUMNS)
    usable = table.filter(pc.and_(pc.is_null(table["reject"]), pc.is_valid(table["expression"])))
    rows = sorted(usable.to_pylist(), key=lambda row: str(row["key"]))
    if not rows:
        raise MienError(
            f"the frozen corpus {name} has no labelled picture; choose another in promotion.frozen."
        )
    faces = [
        Face._make([*(row[name] for name in _COLUMNS[:6]), row["subject"] or row["key"]]) for row in rows
    ]
    return FrozenManifest(name, picture_root(config, directory), tuple(faces))


def refuse_copies(frozen: FrozenManifest, trained: str, directory: Path) -> None:
    """MienError names a frozen picture that stands in the manifest of a training corpus too."""
    table = read_table(directory / MANIFEST_FILE, MANIFEST, ["key", "sha256"])
    there = dict(zip(table["sha256"].to_pylist(), table["key"].to_pylist(), strict=True))
    for face in frozen.faces:
        if face.sha256 in there:
            raise MienError(
                f"{face.key} of the frozen corpus {frozen.corpus} is {there[face.sha256]} of {trained} too, "
                "so that a comparison on it would be worth nothing; take it out of one of them."
            )


def answers(frozen: FrozenManifest, model: Path) -> NDArray[np.int64]:
    """The class (N,) that the model in a folder names for each frozen picture; len(classes) where none.

    MienError: the model tells other expressions apart, or a picture is not the one that was frozen.
    """
    predictor = Predictor(model)
    if tuple(predictor.classes) != frozen.classes:
        raise MienError(
            f"the model tells {', '.join(predictor.classes)} apart, but frozen corpus {frozen.corpus} has "
            f"{', '.join(frozen.classes)}; name another one in promotion.frozen."
        )
    number = {name: i for i, name in enumerate(frozen.classes)}
    found = predictor.predict_encoded(_picture(frozen, face) for face in frozen.faces)
    named = [len(number) if a.expression is None else number[a.expression] for a in found]
    return np.array(named, dtype=np.int64)


def _picture(frozen: FrozenManifest, face: Face) -> bytes:
    try:
        data = read_bytes(frozen.root, face.path, face.offset, face.size)
    except Reject as reject:
        raise MienError(
            f"{face.key} of the frozen corpus {frozen.corpus} cannot be read ({reject}); restore it "
            f"(`dvc checkout`, or your own copy), then `dvc repro download@{frozen.corpus}`."
        ) from reject
    if hashlib.sha256(data).hexdigest() != face.sha256:
        raise MienError(
            f"{face.key} of the frozen corpus {frozen.corpus} is not the picture that was frozen; restore it "
            f"(`dvc checkout`, or your own copy), then `dvc repro download@{frozen.corpus}`."
        )
    return data
