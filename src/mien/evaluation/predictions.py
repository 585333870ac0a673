"""What a run leaves as tables: curves, alien scores, and what the models said, as sorted arrays."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mien.config import MienError
from mien.manifest.tables import read_table

TEST, VALIDATION = "test", "validation"
PREDICTIONS_FILE, CURVES_FILE, RUN = "predictions.parquet", "curves.parquet", "run.json"

PREDICTIONS = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("fold", pa.int32(), nullable=False),
        pa.field("seed", pa.int32(), nullable=False),
        pa.field("part", pa.string(), nullable=False),  # test or validation
        pa.field("label", pa.int32(), nullable=False),  # the class; -1 when unknown
        pa.field("probabilities", pa.list_(pa.float32()), nullable=False),  # one a class
    ]
)

ALIEN_SCORES = pa.schema(
    [
        *(
            field for field in PREDICTIONS if field.name != "probabilities"
        ),  # label: over the corpus's classes
        pa.field("normal", pa.string(), nullable=False),  # the class that was learnt
        pa.field("condition", pa.string(), nullable=False),  # of the pictures; empty: all
        pa.field("folds_by", pa.string(), nullable=False),  # subject or picture
        pa.field("scores", pa.list_(pa.float64()), nullable=False),  # as run.json names them; large: alien
    ]
)

CURVES = pa.schema(
    [
        pa.field("fold", pa.int32(), nullable=False),
        pa.field("seed", pa.int32(), nullable=False),
        pa.field("phase", pa.string(), nullable=False),
        pa.field("epoch", pa.int32(), nullable=False),  # 0-based within the phase
        pa.field("name", pa.string(), nullable=False),
        pa.field("value", pa.float64()),
    ]
)

Cell = tuple[int, int]
"""A fold and a seed: one training run of an experiment."""


@dataclass(frozen=True)
class Predictions:
    """N predictions, always in the order of (fold, seed, part, key), whatever order they were made in."""

    key: NDArray[np.object_]  # (N,)
    fold: NDArray[np.int64]
    seed: NDArray[np.int64]
    part: NDArray[np.object_]
    label: NDArray[np.int64]
    probabilities: NDArray[np.float64]  # (N, C)

    def __len__(self) -> int:
        return len(self.key)

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The likeliest class of each, the first of equals."""
        return np.asarray(self.probabilities.argmax(axis=1), dtype=np.int64)

    def cells(self) -> list[Cell]:
        """The folds and seeds that were run, in order."""
        return sorted({(int(f), int(s)) for f, s in zip(self.fold, self.seed, strict=True)})

    def only(self, rows: NDArray[np.bool_]) -> "Predictions":
        """The predictions where `rows` (N,) holds."""
        return Predictions(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def of_part(self, part: str) -> "Predictions":
        """Those of one part."""
        return self.only(self.part == part)

    def by_cell(self) -> Iterator[tuple[Cell, "Predictions"]]:
        """Each cell and its predictions."""
        for fold, seed in self.cells():
            yield (fold, seed), self.only((self.fold == fold) & (self.seed == seed))


def read_predictions(path: Path, classes: int) -> Predictions:
    """Read and sort predictions.parquet. MienError names the key that has not `classes` probabilities."""
    table = read_table(path, PREDICTIONS)
    table = table.sort_by([(name, "ascending") for name in ("fold", "seed", "part", "key")]).combine_chunks()
    column = table["probabilities"].combine_chunks() if len(table) else pa.array([], pa.list_(pa.float32()))
    column = pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column
    lengths = np.asarray(column.value_lengths().fill_null(0), dtype=np.int64)
    wrong = np.flatnonzero(lengths != classes)
    if len(wrong):
        key = table["key"][int(wrong[0])].as_py()
        number = lengths[wrong[0]]
        raise MienError(f"{path}: {key} has {number} probabilities for {classes} classes; train again.")
    whole = {name: table[name].to_numpy().astype(np.int64) for name in ("fold", "seed", "label")}
    text = {name: np.asarray(table[name].to_pylist(), dtype=object) for name in ("key", "part")}
    probabilities = column.flatten().to_numpy(zero_copy_only=False).astype(np.float64).reshape(-1, classes)
    return Predictions(probabilities=probabilities, **whole, **text)
