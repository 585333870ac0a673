"""Wrong labels for training: drawn by a seed, or read from a list that others published."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mien.config import MienError
from mien.config.train import LabelNoise
from mien.manifest.expressions import EXPRESSIONS
from mien.manifest.expressions import RAF_DB as CODES
from mien.shards.index import Index
from mien.shards.order import Rows

FLIPS = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("true", pa.string(), nullable=False),  # what the corpus says
        pa.field("shown", pa.string(), nullable=False),  # what training reads instead
    ]
)
"""A row a training face whose label is another; beside each trained model."""


def noisy_labels(index: Index, train: Rows, noise: LabelNoise) -> NDArray[np.object_]:
    """The expression of every row of an index as training reads it; only rows of `train` are changed.

    A share flips round(share * n) labels, each to one of the other classes with equal chance. The draw hangs
    on noise.seed and the keys alone. MienError: the list does not fit the corpus.
    """
    shown = index.expression.copy()
    if noise.file is not None:
        read = _read(Path(noise.file), index)
        lacking = [key for key in index.keys[train].tolist() if key not in read]
        if lacking:
            raise MienError(
                f"label_noise.file {noise.file} has no line for {len(lacking)} training faces, {lacking[0]} "
                "for one; give a list of the whole training part."
            )
        shown[train] = [read[key] for key in index.keys[train].tolist()]
        return shown
    random = np.random.default_rng(noise.seed)
    rows = train[np.argsort(index.keys[train].astype(str))]  # by key: the order of the tars plays no part
    chosen = random.choice(rows, size=round(noise.share * len(rows)), replace=False)
    classes = np.array(index.classes, dtype=object)
    number = {name: i for i, name in enumerate(index.classes)}
    label = np.array([number[e] for e in shown[chosen].tolist()], dtype=np.int64)
    shown[chosen] = classes[(label + random.integers(1, len(classes), len(chosen))) % len(classes)]
    return shown


def flips(index: Index, shown: NDArray[np.object_]) -> pa.Table:
    """The faces whose shown label is not the corpus's, by key, under FLIPS."""
    rows = np.flatnonzero(shown != index.expression)
    rows = rows[np.argsort(index.keys[rows].astype(str))]
    columns = {"key": index.keys[rows], "true": index.expression[rows], "shown": shown[rows]}
    return pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()}, schema=FLIPS)


def _read(file: Path, index: Index) -> Mapping[str, str]:
    """Key -> expression from lines `NAME LABEL`: a key of mien's or a picture's name of RAF-DB's list
    (with or without _aligned), and an expression's name or RAF-DB's code 1 to 7.
    """
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise MienError(f"label_noise.file names {file}, which cannot be read as text ({error}).") from error
    keys = {_stem(key): key for key in index.keys.tolist()} | {key: key for key in index.keys.tolist()}
    read = {}
    for number, line in enumerate(lines, 1):
        name, _, told = line.strip().partition(" ")
        if not name:
            continue
        key, expression = keys.get(name, keys.get(_stem(name))), CODES.get(told, told)
        if key is None or expression not in index.classes:
            what = f"the face {name}" if key is None else f"the label {told!r}"
            raise MienError(
                f"line {number} of {file}: {index.about.corpus} does not have {what}; give `NAME LABEL` with "
                f"one of {', '.join(e for e in EXPRESSIONS if e in index.classes)} or RAF-DB's code 1 to 7."
            )
        read[key] = expression
    return read


def _stem(name: str) -> str:
    """`train_00001` of train_00001_aligned.jpg, and of the key image-aligned-train_00001_aligned."""
    return name.removesuffix(".jpg").rsplit("-", 1)[-1].removesuffix("_aligned")
