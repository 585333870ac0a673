"""Drift of drawn profiles: what has moved is found, what has not is left alone."""

import numpy as np
import pyarrow as pa
import pytest

from mien.config.promotion import Drift
from mien.evaluation.drift import AGREEMENT, LABELS, MEASURES, PREDICTIONS, drift
from mien.evaluation.profile import PROFILE

CLASSES = np.array(["neutral", "happy", "sad"], dtype=object)


def profile(seed: int, faces: int = 300, answered: bool = True, **changed: object) -> pa.Table:
    random = np.random.default_rng(seed)
    label = CLASSES[random.integers(0, 3, faces)]
    right = random.random(faces) < 0.8
    columns = {
        "picture_sha256": [f"{seed}-{n}" for n in range(faces)],
        "expression": label,
        "face_px": random.normal(140, 10, faces),
        "pose": random.normal(0, 0.2, faces),
        "brightness": random.normal(120, 20, faces),
        "landmark_error": random.gamma(4, 0.01, faces),
        "predicted": np.where(right, label, CLASSES[random.integers(0, 3, faces)]) if answered else [None] * faces,
    }  # fmt: skip
    table = {name: changed[name](columns[name]) if name in changed else columns[name] for name in columns}
    return pa.table({name: pa.array(list(values)) for name, values in table.items()}).cast(PROFILE)


def drifted(before: pa.Table, new: pa.Table) -> set[str]:
    return {shift.name for shift in drift(before, new, Drift()) if shift.drifted}


def test_more_of_the_same_is_no_drift() -> None:
    shifts = drift(profile(0), profile(1), Drift())
    assert [s.name for s in shifts] == [LABELS, *MEASURES, PREDICTIONS, AGREEMENT]
    assert not [s.name for s in shifts if s.drifted]


@pytest.mark.parametrize(
    ("name", "column", "moved"),
    [
        ("face size", "face_px", lambda v: v * 0.7),
        ("pose", "pose", lambda v: v + 0.5),
        ("brightness", "brightness", lambda v: v - 60),
        ("landmark error", "landmark_error", lambda v: v * 2),
        (PREDICTIONS, "predicted", lambda v: np.where(v == "sad", "happy", v)),
    ],
)
def test_what_has_moved_is_named(name: str, column: str, moved: object) -> None:
    assert name in drifted(profile(0), profile(1, **{column: moved}))


def test_swapped_labels_show_although_no_mix_has_moved() -> None:
    def swapped(values: np.ndarray) -> np.ndarray:
        return np.where(values == "happy", "sad", np.where(values == "sad", "happy", values))

    assert drifted(profile(0), profile(1, expression=swapped)) == {AGREEMENT}


def test_all_labels_alike_show_as_label_mix() -> None:
    found = drifted(profile(0), profile(1, expression=lambda v: np.full(len(v), "happy", dtype=object)))
    assert LABELS in found


def test_a_sure_but_small_shift_is_no_drift() -> None:
    shifts = drift(profile(0, 20_000), profile(1, 20_000, brightness=lambda v: v + 2), Drift())
    (bright,) = (s for s in shifts if s.name == "brightness")
    assert bright.p_value < 0.001
    assert bright.effect < 0.1
    assert not bright.drifted


def test_too_few_faces_and_a_missing_champion_are_not_tested() -> None:
    assert drift(profile(0), profile(1, 19), Drift()) == []
    names = [s.name for s in drift(profile(0, answered=False), profile(1), Drift())]
    assert names == [LABELS, *MEASURES]


def test_one_class_before_and_after_is_no_drift() -> None:
    def same(values: np.ndarray) -> np.ndarray:
        return np.full(len(values), "happy", dtype=object)

    shifts = drift(profile(0, expression=same), profile(1, expression=same), Drift())
    assert (shifts[0].effect, shifts[0].p_value, shifts[0].drifted) == (0.0, 1.0, False)
