"""What an experiment's metric costs: distances, and time to 95 % of the best accuracy (IDFERM's Table 2)."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from mien.config import Params
from mien.config.train import Cell
from mien.evaluation.outcomes import Outcome
from mien.parts.metric_learning import FINE_TUNING
from mien.shards.folds import split_cell
from mien.shards.index import Index

SHARE = 0.95
DISTANCES, PASSES = "distances a batch", "faces through the network an update"  # as the methods' records say


@dataclass(frozen=True)
class Costs:
    """Means over cells."""

    distances: int | None
    passes: int | None
    epoch_s: float
    epochs: float  # until 95 % of the cell's best validation accuracy
    reach_s: float
    best: float


def costs(outcome: Outcome, index: Index, params: Params) -> Costs:
    """From the curves of fine-tuning and the records of its cells."""
    curves: dict[tuple[int, int], dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for point in outcome.points:
        if point["phase"] == FINE_TUNING and point["value"] is not None:
            curves[point["fold"], point["seed"]][point["name"]][point["epoch"]] = point["value"]
    found = []
    for (fold, seed), names in curves.items():
        cell = Cell(fold, seed)
        faces = len(split_cell(index, cell, outcome.entry.validation_share, params.shard.seed).train)
        seconds = {epoch: faces / rate for epoch, rate in names["faces_per_second"].items()}
        accuracy = names["validation_accuracy"]
        best = max(accuracy.values())
        first = min(epoch for epoch, value in accuracy.items() if value >= SHARE * best)
        reached = sum(s for epoch, s in seconds.items() if epoch <= first)
        found.append((float(np.mean(list(seconds.values()))), first + 1.0, reached, best))
    epoch_s, epochs, reach_s, best = (float(value) for value in np.mean(found, axis=0))
    record = next(iter(outcome.records), {})
    return Costs(record.get(DISTANCES), record.get(PASSES), epoch_s, epochs, reach_s, best)
