"""What one-class methods said: the alien scores of predictions.parquet, read and checked."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mien.config import MienError
from mien.config.train import Cell
from mien.evaluation.integrity import Parts, check_keys
from mien.evaluation.predictions import ALIEN_SCORES, TEST, VALIDATION
from mien.manifest.tables import read_table

_CELL = [("normal", "ascending"), ("condition", "ascending"), ("folds_by", "ascending")]
_ORDER = [("seed", "ascending"), ("fold", "ascending"), *_CELL, ("part", "ascending"), ("key", "ascending")]


@dataclass(frozen=True)
class AlienScores:
    """N scored faces of one cell or of all, always in one order, whatever order they were made in."""

    names: tuple[str, ...]  # of the scores, headline first
    cells: tuple[Cell, ...]  # in the order in which they stand
    cell: NDArray[np.int64]  # (N,) number within `cells`
    part: NDArray[np.object_]  # (N,)
    key: NDArray[np.object_]
    label: NDArray[np.int64]  # over the corpus's classes
    values: NDArray[np.float64]  # (N, len(names)), large: alien

    def by_cell(self, part: str) -> Iterator[tuple[Cell, "AlienScores"]]:
        """Each cell and its faces of a part."""
        here = self.part == part
        ends = np.searchsorted(self.cell, np.arange(len(self.cells) + 1))
        for number, (start, stop) in enumerate(itertools.pairwise(ends.tolist())):
            rows = start + np.flatnonzero(here[start:stop])
            yield self.cells[number], self._only(rows)

    def _only(self, rows: NDArray[np.int64]) -> "AlienScores":
        columns = ("cell", "part", "key", "label", "values")
        return replace(self, **{name: getattr(self, name)[rows] for name in columns})


def read_alien_scores(path: Path, names: Sequence[str]) -> AlienScores:
    """Read and sort the predictions of a one-class experiment, whose scores run.json names.

    MienError names the key that has not a score for each name.
    """
    table = read_table(path, ALIEN_SCORES).sort_by(_ORDER).combine_chunks()
    lists = table["scores"].combine_chunks() if len(table) else pa.array([], pa.list_(pa.float64()))
    lists = pa.concat_arrays(lists.chunks) if isinstance(lists, pa.ChunkedArray) else lists
    lengths = np.asarray(lists.value_lengths().fill_null(0), dtype=np.int64)
    for row in np.flatnonzero(lengths != len(names))[:1]:
        key = table["key"][int(row)].as_py()
        raise MienError(f"{path}: {key} has {lengths[row]} scores where {len(names)} are named; train again.")
    columns = [table[name].to_pylist() for name in Cell._fields]
    of_row = [Cell(*row) for row in zip(*columns, strict=True)]
    number = {cell: i for i, cell in enumerate(dict.fromkeys(of_row))}
    # an empty table has no values to shape
    values = lists.flatten().to_numpy(zero_copy_only=False).astype(np.float64).reshape(-1, len(names))
    return AlienScores(
        names=tuple(names),
        cells=tuple(number),
        cell=np.array([number[cell] for cell in of_row], dtype=np.int64),
        part=np.asarray(table["part"].to_pylist(), dtype=object),
        key=np.asarray(table["key"].to_pylist(), dtype=object),
        label=table["label"].to_numpy().astype(np.int64),
        values=values,
    )


def check(made: AlienScores, parts: Mapping[Cell, Parts], label: Mapping[str, int]) -> None:
    """Refuse scores that are not exactly the test and validation keys of every cell, once each.

    parts: what the index says of each cell. label: the class of every key of the index. MienError names the
    first key that is missing, twice, foreign, learnt from or labelled otherwise. A score that is no number
    is no fault of the table: its cell stays empty and says so.
    """
    for cell in (c for c in parts if c not in made.cells):
        raise MienError(f"predictions lack {cell.name}, which params.yaml asks for; train again.")
    for cell in (c for c in made.cells if c not in parts):
        raise MienError(f"predictions hold {cell.name}, which params.yaml does not ask for; train again.")
    for unknown in sorted(set(made.part.tolist()) - {TEST, VALIDATION})[:1]:
        raise MienError(f"predictions name the part {unknown!r}; train again.")
    for part in (TEST, VALIDATION):
        for cell, of_cell in made.by_cell(part):
            check_keys(of_cell.key.tolist(), cell.name, part, parts[cell], label)
    for key, given in zip(made.key.tolist(), made.label.tolist(), strict=True):
        if label[key] != given:
            raise MienError(f"{key} has label {given} predicted and {label[key]} in the index; train again.")
