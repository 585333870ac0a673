"""Two classifiers side by side on the faces that both have tested: figures, tests, and where they differ."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.config import MienError
from mien.config.report import Evaluate
from mien.evaluation import intervals, metrics, paired
from mien.evaluation.intervals import Interval, Tallies
from mien.evaluation.metrics import Floats
from mien.evaluation.predictions import TEST, Predictions
from mien.evaluation.results import FIGURES, person_of, unit_of
from mien.shards.index import Index


@dataclass(frozen=True)
class Trained:
    """A training that is set beside another one."""

    name: str
    method: str
    corpus: str
    shards_digest: str

    def as_json(self) -> dict[str, str]:
        """What it is called, and what it was trained with."""
        return {"name": self.name, "method": self.method, "corpus": self.corpus}


@dataclass(frozen=True)
class Side(Trained):
    """A classifier's training whose predictions are at hand."""

    predictions: Predictions


@dataclass(frozen=True)
class Differing:
    """A face that the two name differently."""

    key: str
    actual: str
    first: str
    second: str

    @property
    def right(self) -> str:
        """Who is right: first, second or neither."""
        return {self.first: "first", self.second: "second"}.get(self.actual, "neither")


@dataclass(frozen=True)
class Comparison:
    """What `compare` found; shares of 1, differences are second less first."""

    sides: tuple[Side, Side]
    folds: tuple[int, ...]
    unit: str
    figures: Mapping[str, tuple[Interval, Interval]]
    differences: Mapping[str, Interval]
    p_value: float  # of mean accuracy, over people
    mcnemar_p: float
    faces: Mapping[str, int]  # named rightly by both, only_first, only_second, neither
    confusion_points: Floats  # (C, C) percentage points
    classes: tuple[str, ...]
    differing: tuple[Differing, ...]

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return {
            "sides": [side.as_json() for side in self.sides],
            "folds": list(self.folds),
            "unit": self.unit,
            "figures": {name: [vars(side) for side in pair] for name, pair in self.figures.items()},
            "differences": {name: vars(found) for name, found in self.differences.items()},
            "p_value": self.p_value,
            "mcnemar_p": self.mcnemar_p,
            "faces": dict(self.faces),
            "classes": list(self.classes),
            "confusion_points": self.confusion_points.tolist(),
            "differing": [{**vars(face), "right": face.right} for face in self.differing],
        }


def compare(first: Side, second: Side, index: Index, settings: Evaluate) -> Comparison:
    """Compare two trainings on the folds that both have tested.

    MienError: other corpora, shards that have changed since, no fold or not the same faces in common.
    """
    refuse_other_faces(first, second, index)
    folds = _shared_folds(first, second)
    tests = _tests(first, folds), _tests(second, folds)
    person, classes = person_of(index), len(index.classes)
    tallies = tuple(intervals.tally(test, person, classes) for test in tests)
    named = _named(tests[0]), _named(tests[1])
    actual = dict(zip(tests[0].key.tolist(), tests[0].label.tolist(), strict=True))
    faces = _faces(actual, *named)
    return Comparison(
        sides=(first, second),
        folds=folds,
        unit=unit_of(index),
        figures={name: _figures(tallies, name, settings) for name in FIGURES},
        differences={name: _difference(tallies, name, settings) for name in FIGURES},
        p_value=_p_value(tests, person, settings.seed),
        mcnemar_p=paired.mcnemar(faces["only_first"], faces["only_second"]),
        faces=faces,
        confusion_points=_confusion_points(tests, classes),
        classes=tuple(index.classes),
        differing=_differing(actual, *named, index.classes),
    )


def refuse_other_faces(first: Trained, second: Trained, index: Index) -> None:
    """MienError: the two are not of one corpus, or not of its shards as they are now."""
    for side in (first, second):
        if side.shards_digest != index.digest:
            raise MienError(
                f"{side.name} was trained on other shards of {side.corpus} than those in {index.folder}; "
                "train it again (`dvc repro`)."
            )
    if first.corpus != second.corpus:
        raise MienError(
            f"{first.name} is on {first.corpus} and {second.name} on {second.corpus}: only trainings on one "
            "corpus can be compared face by face."
        )


def _shared_folds(first: Side, second: Side) -> tuple[int, ...]:
    folds = set(first.predictions.fold.tolist()) & set(second.predictions.fold.tolist())
    for fold in sorted(folds):
        keys = [set(_tests(side, (fold,)).key.tolist()) for side in (first, second)]
        if keys[0] != keys[1]:
            raise MienError(
                f"{first.name} and {second.name} test other faces in fold {fold} (folds_by differs?): they "
                "cannot be compared face by face."
            )
    if not folds:
        raise MienError(
            f"{first.name} and {second.name} have tested no fold in common; train one of them so."
        )
    return tuple(sorted(folds))


def _tests(side: Side, folds: tuple[int, ...]) -> Predictions:
    test = side.predictions.of_part(TEST)
    return test.only(np.isin(test.fold, folds) & (test.label >= 0))


def _named(test: Predictions) -> dict[str, int]:
    """The class that each face is given by the mean probabilities of all seeds."""
    keys, place = np.unique(test.key.astype(str), return_inverse=True)
    total = np.zeros((len(keys), test.probabilities.shape[1]))
    np.add.at(total, place, test.probabilities)
    return dict(zip(keys.tolist(), total.argmax(axis=1).tolist(), strict=True))


def _faces(actual: Mapping[str, int], first: Mapping[str, int], second: Mapping[str, int]) -> dict[str, int]:
    right: NDArray[np.bool_] = np.array([[first[k] == a, second[k] == a] for k, a in actual.items()])
    one, two = right.T
    return paired.named_rightly(one, two, ("first", "second"))


def _figures(tallies: tuple[Tallies, ...], name: str, settings: Evaluate) -> tuple[Interval, Interval]:
    drawing = settings.confidence, settings.resamples, settings.seed
    first, second = (intervals.over_people(side, FIGURES[name], *drawing) for side in tallies)
    return first, second


def _difference(tallies: tuple[Tallies, ...], name: str, settings: Evaluate) -> Interval:
    drawing = settings.confidence, settings.resamples, settings.seed
    return intervals.paired(tallies[0], tallies[1], FIGURES[name], *drawing)


def _p_value(tests: tuple[Predictions, Predictions], person: Mapping[str, str], seed: int) -> float:
    """Two-sided sign flips of people's shares in the difference of mean accuracy."""
    shares = []
    for test in tests:
        weight = paired.mean_accuracy_weights(test.label, test.fold, test.seed)
        right = weight * (test.predicted == test.label)
        shares.append(paired.by_person(right, [person[key] for key in test.key.tolist()]))
    return paired.sign_flip(shares[1] - shares[0], seed, "two-sided")


def _confusion_points(tests: tuple[Predictions, Predictions], classes: int) -> Floats:
    first, second = (
        metrics.row_normalised(metrics.count(test.label, test.predicted, classes)) for test in tests
    )
    points: Floats = 100 * (second - first)
    return points


def _differing(
    actual: Mapping[str, int],
    first: Mapping[str, int],
    second: Mapping[str, int],
    classes: tuple[str, ...],
) -> tuple[Differing, ...]:
    """By who is right, then by class and key."""
    found = [
        Differing(key, classes[label], classes[first[key]], classes[second[key]])
        for key, label in actual.items()
        if first[key] != second[key]
    ]
    order = {"first": 0, "second": 1, "neither": 2}
    return tuple(sorted(found, key=lambda face: (order[face.right], classes.index(face.actual), face.key)))
