"""Folds by person, and the parts of one fold."""

import warnings
from array import array
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.config import MienError
from mien.config.train import Cell
from mien.shards.frames import frame_parts
from mien.shards.index import Index
from mien.shards.order import Rows

_DRAWS = 200  # random choices of validation people, of which the most even one is taken


@dataclass(frozen=True)
class Split:
    """Row numbers of the three parts of a fold, each ascending."""

    train: Rows
    validation: Rows
    test: Rows

    def parts(self, rows: int) -> Rows:
        """(rows,) 0 train, 1 validation, 2 test, -1 none of them."""
        part = np.full(rows, -1, dtype=np.int64)
        for number, members in enumerate((self.train, self.validation, self.test)):
            part[members] = number
        return part


def grouped(names: list[NDArray[np.object_]], pairs: list[tuple[int, int]], rows: int) -> NDArray[np.int32]:
    """Number the groups of rows that may not be parted, by first appearance.

    Rows go together when they have the same name in any of `names` (None ties nothing) or are one of `pairs`.
    """
    root = array("q", range(rows))

    def find(row: int) -> int:
        while root[row] != row:
            root[row] = root[root[row]]
            row = root[row]
        return row

    def tie(a: int, b: int) -> None:
        low, high = sorted((find(a), find(b)))
        root[high] = low  # the first row of a group stands for it, so numbers follow first appearance

    for column in names:
        seen: dict[str, int] = {}
        for row, name in enumerate(column.tolist()):
            if name is not None:
                tie(seen.setdefault(name, row), row)
    for a, b in pairs:
        tie(a, b)
    found = np.fromiter((find(row) for row in range(rows)), dtype=np.int64, count=rows)
    return np.unique(found, return_inverse=True)[1].astype(np.int32)


def make_folds(
    expression: NDArray[np.object_], group: NDArray[np.int32], folds: int, seed: int
) -> NDArray[np.int32]:
    """The fold of each row: groups stay whole, classes are spread evenly (StratifiedGroupKFold).

    MienError when there are fewer groups than folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold  # a second, which only those pay who draw folds

    groups = len(np.unique(group))
    if groups < folds:
        raise MienError(f"shard.folds is {folds}, but there are only {groups} people; make fewer folds.")
    label = np.unique([e or "" for e in expression.tolist()], return_inverse=True)[1]
    if np.bincount(label).max() < folds:
        label = np.zeros_like(label)  # no class has a face for each fold: nothing to spread
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    fold = np.full(len(label), -1, dtype=np.int32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class rarer than folds: see counts.json
        for number, (_, test) in enumerate(splitter.split(label, label, group)):
            fold[test] = number
    if len(np.unique(fold)) < folds:
        raise MienError(f"shard.folds is {folds}, but the people are too few to fill each; make fewer folds.")
    return fold


def split_fold(index: Index, fold: int, validation_share: float, seed: int, labelled: bool = True) -> Split:
    """Test: that fold. Validation: a share of the remaining people, drawn by (seed, fold). Train: the rest.

    Rows without an expression are left out unless `labelled` is False. MienError: no such fold, or fewer than
    two people outside of it.
    """
    if not 0 <= fold < index.about.folds:
        raise MienError(f"fold {fold} does not exist; {index.folder} has folds 0 to {index.about.folds - 1}.")
    known = np.array([e is not None for e in index.expression.tolist()])
    use = known if labelled else np.ones(len(index), dtype=np.bool_)
    rest = np.flatnonzero(use & (index.fold != fold)).astype(np.int64)
    chosen = hold_out_people(index, rest, validation_share, np.random.default_rng([seed, fold]))
    validation = np.isin(index.group[rest], chosen)
    test = np.flatnonzero(use & (index.fold == fold)).astype(np.int64)
    return Split(train=rest[~validation], validation=rest[validation], test=test)


def split_cell(index: Index, cell: Cell, validation_share: float, seed: int) -> Split:
    """The parts of a cell: of its class, of official parts, of frames, of a fold by picture, of its fold."""
    if cell.normal:
        return split_one_class(index, cell, validation_share, seed)
    if cell.folds_by == "official":
        return split_official(index, validation_share, seed)
    if cell.folds_by == "frame":
        return Split(*frame_parts(index))
    if cell.folds_by == "picture":
        return split_pictures(index, cell.fold, validation_share, seed)
    return split_fold(index, cell.fold, validation_share, seed)


def split_official(index: Index, validation_share: float, seed: int) -> Split:
    """The parts that the corpus's owner drew; who stands in which nobody has checked, and the report says so.

    Test: the rows of the official test part, or of the validation part where there is no other (AffectNet).
    Validation: the official one, or else a share of the training part, each class alike. Rows without an
    expression are left out. MienError: the corpus has no official parts.
    """
    use = np.array([e is not None for e in index.expression.tolist()])
    split = np.where(use, index.column("split"), np.array(None, dtype=object))
    train, validation, test = (
        np.flatnonzero(split == part).astype(np.int64) for part in ("train", "validation", "test")
    )
    if not len(test):
        validation, test = test, validation
    if len(train) < 2 or not len(test):
        raise MienError(
            f"{index.folder} has {len(train)} labelled faces in an official training part and {len(test)} in "
            "one to test; set folds_by: subject."
        )
    if not len(validation):
        train, validation = hold_out(index, train, validation_share, np.random.default_rng([seed, 0]))
    return Split(train=train, validation=validation, test=test)


def split_pictures(index: Index, fold: int, validation_share: float, seed: int) -> Split:
    """Folds by picture, each person's faces of each expression spread evenly: people stand in all parts.

    HSNet splits RaFD so: of 15 pictures of a person and expression three are tested, of one in five folds.
    Validation: a share of the others, each class alike. MienError: no such fold.
    """
    if not 0 <= fold < index.about.picture_folds:
        last = index.about.picture_folds - 1
        raise MienError(f"fold {fold} does not exist; {index.folder} has folds 0 to {last} by picture.")
    use = np.array([e is not None for e in index.expression.tolist()])
    of = _dealt_folds(index, use, seed)
    test, rest = np.flatnonzero(of == fold), np.flatnonzero(use & (of != fold))
    if len(rest) < 2:
        raise MienError(f"{index.folder} has {len(rest)} labelled faces outside fold {fold}, and needs two.")
    train, validation = hold_out(index, rest, validation_share, np.random.default_rng([seed, fold]))
    return Split(train=train, validation=validation, test=test.astype(np.int64))


def split_one_class(index: Index, cell: Cell, validation_share: float, seed: int) -> Split:
    """Test: every class of the cell's fold. Train and validation: its normal class outside of it.

    Only faces under the cell's condition. `folds_by` subject takes the folds of the index, and other people
    for validation; picture draws both anew among pictures, so that people stand in several parts. MienError:
    the condition or the class does not occur, or leaves fewer than two faces to train and validate with.
    """
    use = np.array([e is not None for e in index.expression.tolist()])
    if cell.condition:
        use &= index.column("condition") == cell.condition
    normal = use & (index.expression == cell.normal)
    if not normal.any():
        where = f"{index.folder} under {cell.condition}" if cell.condition else str(index.folder)
        raise MienError(f"{where} has no face that shows {cell.normal}; change `normal` or `trials`.")
    fold = index.fold if cell.folds_by == "subject" else _picture_folds(index, use, seed)
    test, rest = np.flatnonzero(use & (fold == cell.fold)), np.flatnonzero(normal & (fold != cell.fold))
    if len(rest) < 2:
        raise MienError(
            f"{cell.normal} has {int(normal.sum())} faces, of which {len(rest)} stand outside fold "
            f"{cell.fold} of {cell.trial}, and training needs two; make fewer folds."
        )
    random = np.random.default_rng([seed, cell.fold])
    if cell.folds_by == "subject":
        held_out = np.isin(index.group[rest], hold_out_people(index, rest, validation_share, random))
    else:
        held_out = np.zeros(len(rest), dtype=np.bool_)
        held_out[random.permutation(len(rest))[: max(1, round(validation_share * len(rest)))]] = True
    return Split(train=rest[~held_out], validation=rest[held_out], test=test.astype(np.int64))


def _picture_folds(index: Index, use: NDArray[np.bool_], seed: int) -> NDArray[np.int32]:
    """Folds by picture, whoever is in it, each class spread evenly; -1 for rows not in use."""
    from sklearn.model_selection import StratifiedKFold  # as above

    rows = np.flatnonzero(use)
    rows = rows[np.argsort(index.keys[rows].astype(str))]  # by key: the order of the tars plays no part
    label = np.unique(index.expression[rows].astype(str), return_inverse=True)[1]
    fold = np.full(len(index), -1, dtype=np.int32)
    splitter = StratifiedKFold(index.about.picture_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class rarer than folds: its cells say so
        for number, (_, test) in enumerate(splitter.split(label, label)):
            fold[rows[test]] = number
    return fold


def _dealt_folds(index: Index, use: NDArray[np.bool_], seed: int) -> NDArray[np.int32]:
    """Folds by picture, dealt in turn to each class's people and each person's pictures; -1 if not in use."""
    rows = np.flatnonzero(use)
    rows = rows[np.argsort(index.keys[rows].astype(str))]  # by key: the order of the tars plays no part
    drawn = np.random.default_rng(seed).permutation(len(rows))
    names = (drawn, index.subject[rows].astype(str), index.expression[rows].astype(str))
    fold = np.full(len(index), -1, dtype=np.int32)
    fold[rows[np.lexsort(names)]] = np.arange(len(rows)) % index.about.picture_folds
    return fold


def hold_out(index: Index, rows: Rows, share: float, random: np.random.Generator) -> tuple[Rows, Rows]:
    """Two parts of the rows, the second a share of all and, to the nearest face, of each class."""
    rows = rows[np.argsort(index.keys[rows].astype(str))]
    label, counts = np.unique(index.expression[rows].astype(str), return_inverse=True, return_counts=True)[1:]
    take = np.floor(share * counts).astype(np.int64)
    total = min(max(round(share * len(rows)), 1), len(rows) - 1)
    largest = np.argsort(take - share * counts, kind="stable")  # largest remainders first
    take[largest[: total - take.sum()]] += 1
    held_out = np.zeros(len(rows), dtype=np.bool_)
    for number, wanted in enumerate(take.tolist()):
        held_out[random.permutation(np.flatnonzero(label == number))[:wanted]] = True
    return np.sort(rows[~held_out]).astype(np.int64), np.sort(rows[held_out]).astype(np.int64)


def hold_out_people(index: Index, rest: Rows, share: float, random: np.random.Generator) -> NDArray[np.int64]:
    """The groups to hold out: of many random choices, the one whose classes are most nearly `share` of all.

    MienError: the rows have fewer than two people.
    """
    groups, member = np.unique(index.group[rest], return_inverse=True)
    if len(groups) < 2:
        raise MienError(f"{index.folder} has {len(groups)} people outside the test fold, and needs two.")
    label = np.unique([e or "" for e in index.expression[rest].tolist()], return_inverse=True)[1]
    table = np.zeros((len(groups), label.max() + 1))
    np.add.at(table, (member, label), 1)
    take = min(max(round(share * len(groups)), 1), len(groups) - 1)
    draws = [random.permutation(len(groups))[:take] for _ in range(_DRAWS)]
    wanted = share * table.sum(axis=0)
    # the share of each class weighs the same, rare classes included
    cost = [float(np.abs((table[d].sum(axis=0) - wanted) / table.sum(axis=0)).sum()) for d in draws]
    return np.asarray(groups[draws[int(np.argmin(cost))]], dtype=np.int64)
