"""Faces to choose settings by: none of them is tested in any cell of the experiment that is tuned."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.config import MienError
from mien.config.train import Cell
from mien.shards.folds import Split, hold_out, hold_out_people, split_cell
from mien.shards.index import Index
from mien.shards.order import Rows

ONE_SPLIT = ("official", "frame")
"""Ways of folding that know one split only: its own training and validation parts are free of the test."""


@dataclass(frozen=True)
class Untested:
    """What a search trains and validates on."""

    split: Split  # `test`: all rows that any cell tests, so that readers know whom to leave out
    aliens: Rows  # of a one-class cell: faces of other classes to tell the validation part from


def split_untested(index: Index, cells: Sequence[Cell], cell: Cell, share: float, seed: int) -> Untested:
    """Train, validation and aliens for a search of one of an experiment's cells.

    cells: all of the experiment; share: of the people that none of them tests, or of the pictures where folds
    are by picture, that validate. Aliens of a cell by people are those of the validation people. MienError:
    the cells leave too few faces untested, as those of a whole cross-validation do.
    """
    if cell.folds_by in ONE_SPLIT:
        return Untested(split_cell(index, cell, share, seed), np.zeros(0, dtype=np.int64))
    tested = _tested(index, cells, share, seed)
    use = np.array([e is not None for e in index.expression.tolist()]) & ~tested
    if cell.condition:
        use &= index.column("condition") == cell.condition
    learnt = use & (index.expression == cell.normal) if cell.normal else use
    rest = np.flatnonzero(learnt).astype(np.int64)
    random = np.random.default_rng([seed, cell.fold])
    if cell.folds_by == "picture":
        _refuse_few(index, cell, rest, len(rest))
        train, validation = hold_out(index, rest, share, random)
        aliens = np.flatnonzero(use & ~learnt)
    else:
        _refuse_few(index, cell, rest, len(np.unique(index.group[rest])))
        people = hold_out_people(index, rest, share, random)
        held_out = np.isin(index.group[rest], people)
        train, validation = rest[~held_out], rest[held_out]
        aliens = np.flatnonzero(use & ~learnt & np.isin(index.group, people))
    if cell.normal and not len(aliens):
        raise MienError(
            f"{index.folder}: no face but {cell.normal} is left untested by the experiment's folds, so that "
            "there is no alien to tell from it; name fewer folds."
        )
    parts = Split(train=train, validation=validation, test=np.flatnonzero(tested).astype(np.int64))
    return Untested(parts, aliens.astype(np.int64))


def _tested(index: Index, cells: Sequence[Cell], share: float, seed: int) -> NDArray[np.bool_]:
    tested = np.zeros(len(index), dtype=np.bool_)
    for cell in dict.fromkeys(c._replace(seed=0) for c in cells):  # parts do not hang on the seed
        tested[split_cell(index, cell, share, seed).test] = True
    return tested


def _refuse_few(index: Index, cell: Cell, rest: Rows, apart: int) -> None:
    if apart < 2:
        raise MienError(
            f"{index.folder}: the experiment's folds test all but {len(rest)} faces"
            f"{' of ' + cell.normal if cell.normal else ''}, which is too few to choose settings by; name "
            "fewer folds in the experiment, or set its settings by hand."
        )
