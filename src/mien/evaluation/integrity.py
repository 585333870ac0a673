"""Every test key predicted once, and none that the model may have learnt from."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mien.config import MienError
from mien.evaluation.predictions import TEST, VALIDATION, Cell, Predictions

SUM_TOLERANCE = 1e-4  # of float32 probabilities that sum to 1, over tens of classes


@dataclass(frozen=True)
class Parts:
    """The keys of the three parts of one fold and seed, as the index has them."""

    train: Sequence[str]
    validation: Sequence[str]
    test: Sequence[str]


def check(predictions: Predictions, parts: Mapping[Cell, Parts], label: Mapping[str, int]) -> None:
    """Refuse predictions that are not exactly the test and validation keys of every cell, once each.

    parts: what the index says of each cell. label: the class of every key of the index. MienError names
    the first key that is missing, twice, foreign, learnt from, labelled otherwise, or no proper shares.
    """
    _cells(predictions, parts)
    for cell, made in predictions.by_cell():
        unknown = sorted(set(made.part.tolist()) - {TEST, VALIDATION})
        if unknown:
            raise MienError(f"predictions of {_name(cell)} name the part {unknown[0]!r}; train again.")
        for part in (TEST, VALIDATION):
            check_keys(made.of_part(part).key.tolist(), _name(cell), part, parts[cell], label)
    _labels(predictions, label)
    _probabilities(predictions)
    _tested_once(predictions)


def check_keys(keys: Sequence[str], cell: str, part: str, parts: Parts, label: Mapping[str, int]) -> None:
    """Refuse sorted keys that are not exactly those of a cell's part, once each; MienError names one."""
    wanted = parts.test if part == TEST else parts.validation
    for before, key in itertools.pairwise(keys):
        if before == key:
            raise MienError(f"{key} is predicted twice in the {part} part of {cell}; train again.")
    for key in sorted(set(keys) - set(wanted)):
        place = _place(key, parts, label)
        raise MienError(f"{key} is predicted in the {part} part of {cell}, but {place}.")
    for key in sorted(set(wanted) - set(keys)):
        raise MienError(f"{key} of the {part} part of {cell} is not predicted; train again.")


def _cells(predictions: Predictions, parts: Mapping[Cell, Parts]) -> None:
    made = set(predictions.cells())
    for cell in sorted(set(parts) - made):
        raise MienError(f"predictions lack {_name(cell)}, which params.yaml asks for; train again.")
    for cell in sorted(made - set(parts)):
        raise MienError(f"predictions hold {_name(cell)}, which params.yaml does not ask for; train again.")


def _place(key: str, parts: Parts, label: Mapping[str, int]) -> str:
    if key not in label:
        return "the index does not have it; the shards have changed since, train again"
    for name, keys in (("training", parts.train), (VALIDATION, parts.validation), (TEST, parts.test)):
        if key in set(keys):
            return f"it belongs to the {name} part: the figures would be worthless, train again"
    return "it belongs to no part of this fold; train again"


def _labels(predictions: Predictions, label: Mapping[str, int]) -> None:
    for key, given in zip(predictions.key.tolist(), predictions.label.tolist(), strict=True):
        if label[key] != given:
            raise MienError(f"{key} has label {given} predicted and {label[key]} in the index; train again.")


def _probabilities(predictions: Predictions) -> None:
    values = predictions.probabilities
    # NaN fails every comparison, so it is caught by both
    shares = np.all((values >= 0) & np.isfinite(values), axis=1)
    sums_to_1 = np.abs(values.sum(axis=1) - 1) <= SUM_TOLERANCE
    for row in np.flatnonzero(~(shares & sums_to_1))[:1]:
        cell = (int(predictions.fold[row]), int(predictions.seed[row]))
        raise MienError(
            f"{predictions.key[row]} of {_name(cell)} has probabilities {values[row].tolist()}, "
            "which are not shares that sum to 1; the training has diverged or predict is wrong."
        )


def _tested_once(predictions: Predictions) -> None:
    """Folds are disjoint: with one seed no key is tested in two of them."""
    test = predictions.of_part(TEST)
    fold_of: dict[tuple[int, str], int] = {}
    for key, fold, seed in zip(test.key.tolist(), test.fold.tolist(), test.seed.tolist(), strict=True):
        if fold_of.setdefault((seed, key), fold) != fold:
            both = f"{fold_of[seed, key]} and {fold}"
            raise MienError(f"{key} is tested in folds {both} of seed {seed}; shard again.")


def _name(cell: Cell) -> str:
    return f"fold {cell[0]}, seed {cell[1]}"
