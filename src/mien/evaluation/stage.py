"""The evaluate stage: predictions against the index, and figures out of them."""

import logging
from pathlib import Path

from mien.config import Params
from mien.evaluation.integrity import Parts, check
from mien.evaluation.predictions import PREDICTIONS_FILE, read_predictions
from mien.evaluation.results import evaluate, person_of, unit_of, write_results
from mien.shards.folds import split_fold
from mien.shards.index import Index, read_index

log = logging.getLogger(__name__)


def evaluate_experiment(experiment: str, shards: Path, run: Path, into: Path, params: Params) -> None:
    """Check an experiment's predictions against the index of its shards and write its figures.

    MienError names the first key that does not belong.
    """
    entry = params.experiments[experiment]
    index = read_index(shards)
    made = read_predictions(run / PREDICTIONS_FILE, len(index.classes))
    cells = [(fold, seed) for fold in entry.folds for seed in entry.seeds]
    parts = {cell: parts_of(index, cell[0], entry.validation_share, params.shard.seed) for cell in cells}
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


def parts_of(index: Index, fold: int, validation_share: float, seed: int) -> Parts:
    """The keys of the three parts of a fold, as training draws them."""
    split = split_fold(index, fold, validation_share, seed)
    return Parts(*(index.keys[rows].tolist() for rows in (split.train, split.validation, split.test)))


def labels_of(index: Index) -> dict[str, int]:
    """The class of every key; -1 where the corpus gives none."""
    number = {name: i for i, name in enumerate(index.classes)}
    pairs = zip(index.keys.tolist(), index.expression.tolist(), strict=True)
    return {key: number.get(expression, -1) for key, expression in pairs}
