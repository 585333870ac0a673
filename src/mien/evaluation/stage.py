"""The evaluate stage: predictions against the index, and figures out of them."""

import logging
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from mien.config import Params
from mien.config.train import Cell
from mien.evaluation.integrity import Parts, check
from mien.evaluation.one_class.results import MACRO, evaluate_one_class, write_one_class
from mien.evaluation.one_class.scores import check as check_alien_scores
from mien.evaluation.one_class.scores import read_alien_scores
from mien.evaluation.predictions import PREDICTIONS_FILE, RUN, read_predictions
from mien.evaluation.results import evaluate, person_of, read_json, unit_of, write_results
from mien.shards.folds import Split, split_cell
from mien.shards.index import Index, read_index

log = logging.getLogger(__name__)


def evaluate_experiment(experiment: str, shards: Path, run: Path, into: Path, params: Params) -> None:
    """Check an experiment's predictions against the index of its shards and write its figures.

    MienError names the first key that does not belong.
    """
    entry = params.experiments[experiment]
    index = read_index(shards)
    if entry.trials:
        _one_class(experiment, index, run, into, params)
        return
    made = read_predictions(run / PREDICTIONS_FILE, len(index.classes))
    share, drawn = entry.validation_share, params.shard.seed
    of_fold = {fold: parts_of(index, fold, share, drawn, entry.folds_by) for fold in entry.folds}
    parts = {(fold, seed): of_fold[fold] for fold in entry.folds for seed in entry.seeds}
    check(made, parts, labels_of(index))
    scores = evaluate(made, person_of(index), unit_of(index), index.classes, params.evaluate)
    write_results(scores, made, into)
    bounds = scores["figures"]["mean_accuracy"]["people"]
    log.info(
        "%s: mean accuracy %.1f %% (%.1f to %.1f), %d faces of %d %s tested",
        experiment,
        *(100 * bounds[name] for name in ("mean", "low", "high")),
        scores["samples"],
        scores["people"],
        scores["unit"],
    )


def parts_of(index: Index, fold: int, validation_share: float, seed: int, folds_by: str = "subject") -> Parts:
    """The keys of the three parts of a fold, as training draws them."""
    return _keys(index, split_cell(index, Cell(fold, 0, folds_by=folds_by), validation_share, seed))


def parts_of_cells(
    index: Index, cells: Sequence[Cell], validation_share: float, seed: int
) -> dict[Cell, Parts]:
    """The keys of the three parts of each one-class cell, as training draws them: alike for all its seeds."""

    @cache
    def parts(cell: Cell) -> Parts:
        return _keys(index, split_cell(index, cell, validation_share, seed))

    return {cell: parts(cell._replace(seed=0)) for cell in cells}


def labels_of(index: Index) -> dict[str, int]:
    """The class of every key; -1 where the corpus gives none."""
    number = {name: i for i, name in enumerate(index.classes)}
    pairs = zip(index.keys.tolist(), index.expression.tolist(), strict=True)
    return {key: number.get(expression, -1) for key, expression in pairs}


def _keys(index: Index, split: Split) -> Parts:
    return Parts(*(index.keys[rows].tolist() for rows in (split.train, split.validation, split.test)))


def _one_class(experiment: str, index: Index, run: Path, into: Path, params: Params) -> None:
    entry = params.experiments[experiment]
    made = read_alien_scores(run / PREDICTIONS_FILE, read_json(run / RUN)["scores"])
    cells = entry.cells(index.classes)
    parts = parts_of_cells(index, cells, entry.validation_share, params.shard.seed)
    check_alien_scores(made, parts, labels_of(index))
    scores = evaluate_one_class(made, person_of(index), unit_of(index), index.classes, params.evaluate)
    write_one_class(scores, into)
    for cell in (c for c in scores["cells"] if made.names[0] in c["empty"]):
        where = f"{cell['trial']}, {cell['normal']}, fold {cell['fold']}, seed {cell['seed']}"
        log.warning("%s: no AUC for %s: %s", experiment, where, cell["empty"][made.names[0]])
    for trial in scores["trials"]:
        mean = trial["figures"][made.names[0]][MACRO]["mean"]
        words = (experiment, trial["trial"], 100 * mean["mean"], mean["cells"], mean["of"])
        log.info("%s: %s: mean AUC %.1f %% over %d of %d cells", *words)
