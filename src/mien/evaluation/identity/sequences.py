"""Predictions by sequence: scores of its frames are averaged before the likeliest class is taken.

So MMI is judged in IDFERM and in the work that it follows; of one picture a sequence it is the same as ever.
"""

from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from mien.evaluation.predictions import Predictions
from mien.shards.index import Index


def sequences_of(index: Index) -> dict[str, str]:
    """The sequence of each key that stands in one, made unique by its person."""
    rows = zip(index.keys.tolist(), index.subject.tolist(), index.column("sequence").tolist(), strict=True)
    return {key: f"{subject}/{sequence}" for key, subject, sequence in rows if sequence is not None}


def accuracy_by_sequence(predictions: Predictions, sequence: Mapping[str, str]) -> tuple[float, int] | None:
    """Share of sequences whose mean scores name the label, and how many there were; None without any.

    A sequence's frames of different labels (neutral onset, apex) are judged apart; so are folds and seeds.
    """
    scores: dict[tuple[str, int, int, int], list[np.ndarray[tuple[int], np.dtype[np.float64]]]] = defaultdict(
        list
    )
    for i, key in enumerate(predictions.key.tolist()):
        if key in sequence:
            cell = (int(predictions.fold[i]), int(predictions.seed[i]))
            scores[sequence[key], *cell, int(predictions.label[i])].append(predictions.probabilities[i])
    if not scores:
        return None
    right = [int(np.mean(frames, axis=0).argmax()) == label for (*_, label), frames in scores.items()]
    return float(np.mean(right)), len(right)
