import numpy as np

from mien.evaluation.identity.sequences import accuracy_by_sequence
from mien.evaluation.predictions import Predictions


def made(rows: list[tuple[str, int, int, list[float]]]) -> Predictions:
    keys, folds, labels, shares = zip(*rows, strict=True)
    whole = np.zeros(len(rows), dtype=np.int64)
    return Predictions(
        key=np.array(keys, dtype=object),
        fold=np.array(folds),
        seed=whole,
        part=np.array(["test"] * len(rows), dtype=object),
        label=np.array(labels),
        probabilities=np.array(shares),
    )


def test_a_sequence_is_named_by_the_mean_of_its_frames() -> None:
    sequence = {"a1": "p/a", "a2": "p/a", "a3": "p/a", "a0": "p/a", "b1": "p/b"}
    rows = [
        ("a0", 0, 1, [0.1, 0.9]),  # the onset, of another class: judged apart
        ("a1", 0, 0, [0.9, 0.1]),
        ("a2", 0, 0, [0.4, 0.6]),
        ("a3", 0, 0, [0.4, 0.6]),  # two of three frames say 1, their mean says 0
        ("b1", 0, 0, [0.2, 0.8]),
        ("still", 0, 0, [0.9, 0.1]),  # in no sequence
    ]
    assert accuracy_by_sequence(made(rows), sequence) == (2 / 3, 3)


def test_without_sequences_there_is_no_figure() -> None:
    assert accuracy_by_sequence(made([("still", 0, 0, [1.0, 0.0])]), {}) is None
