"""Made-up predictions for the tests of this room."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from mien.evaluation.predictions import PREDICTIONS, Predictions

CLASSES = ("neutral", "happy", "sad")


def predictions(
    seed: int = 0,
    people: int = 8,
    pictures: int = 5,
    folds: int = 2,
    seeds: Sequence[int] = (0,),
    classes: int = 3,
    skill: float = 1.0,
) -> tuple[Predictions, dict[str, str | None]]:
    """Predictions of `folds` x `seeds` cells, people apart between folds, and each key's person."""
    source = np.random.default_rng(seed)
    rows, subject = [], {}
    for person in range(people):
        # a person is easier or harder than another, so that their pictures are no independent draws
        ease = skill + source.normal(0, 0.7)
        for picture in range(pictures):
            key, label = f"p{person:02d}-{picture}", int(source.integers(classes))
            subject[key] = f"person{person:02d}"
            for run in seeds:
                logits = source.normal(0, 1, classes)
                logits[label] += ease
                rows.append((person % folds, run, "test", key, label, np.exp(logits) / np.exp(logits).sum()))
    rows.sort(key=lambda row: row[:4])
    fold, run, part, key, label, probabilities = zip(*rows, strict=True)
    made = Predictions(
        key=np.array(key, dtype=object),
        fold=np.array(fold),
        seed=np.array(run),
        part=np.array(part, dtype=object),
        label=np.array(label),
        probabilities=np.stack(probabilities),
    )
    return made, subject


def table(made: Predictions) -> pa.Table:
    """The rows of predictions.parquet."""
    columns = {name: getattr(made, name) for name in ("key", "fold", "seed", "part", "label")}
    return pa.table({**columns, "probabilities": made.probabilities.tolist()}).cast(PREDICTIONS)
