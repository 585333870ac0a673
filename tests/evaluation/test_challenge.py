"""The rule that makes a champion, on answers written down by hand."""

from pathlib import Path

import numpy as np
import pytest

from mien.config.promotion import Promotion
from mien.config.report import Evaluate
from mien.evaluation.challenge import challenge
from mien.evaluation.frozen import Face, FrozenManifest

CLASSES = ("neutral", "happy")
NONE = len(CLASSES)
RULE, EVALUATE = Promotion(), Evaluate(resamples=200)


def frozen(people: int = 10) -> FrozenManifest:
    """Two faces of each class a person."""
    faces = [
        Face(f"p{p:02d}-{c}-{n}", "x", None, None, f"{p}{c}{n}", c, f"p{p:02d}")
        for p in range(people)
        for c in CLASSES
        for n in (0, 1)
    ]
    return FrozenManifest("unseen", Path(), tuple(faces))


def wrong(manifest: FrozenManifest, *places: int) -> np.ndarray:
    """Right answers but for those of some places, modulo 4: 0 and 1 neutral, 2 and 3 happy."""
    named = manifest.label.copy()
    where = np.isin(np.arange(len(named)) % 4, places)
    named[where] = 1 - named[where]
    return named


def test_a_better_challenger_is_promoted() -> None:
    faces = frozen()
    verdict = challenge(faces, wrong(faces, 0, 2), wrong(faces, 0), RULE, EVALUATE)
    assert verdict.promoted
    assert verdict.gain.mean == pytest.approx(0.25)
    assert verdict.p_value == pytest.approx(1 / 2**10)
    assert verdict.faces == {"both": 20, "only_old": 0, "only_new": 10, "neither": 10}
    assert verdict.class_gain == pytest.approx({"neutral": 0.0, "happy": 0.5})
    assert "75.0 % against 50.0 %" in verdict.reason


def test_an_equal_one_is_kept_out() -> None:
    faces = frozen()
    verdict = challenge(faces, wrong(faces, 0), wrong(faces, 1), RULE, EVALUATE)
    assert not verdict.promoted
    assert verdict.p_value == 1
    assert "gain of +0.0 points" in verdict.reason


def test_a_gain_that_few_people_show_is_kept_out() -> None:
    faces = frozen(4)
    verdict = challenge(faces, wrong(faces, 0), wrong(faces), RULE, EVALUATE)
    assert verdict.p_value == pytest.approx(1 / 2**4)
    assert not verdict.promoted
    assert "p is above 0.05" in verdict.reason


def test_a_class_that_loses_keeps_it_out_and_is_named() -> None:
    faces = frozen()
    verdict = challenge(faces, wrong(faces, 0, 1), wrong(faces, 3), RULE, EVALUATE)
    assert verdict.gain.mean == pytest.approx(0.25)
    assert not verdict.promoted
    assert "happy loses 50.0 points" in verdict.reason
    assert challenge(
        faces, wrong(faces, 0, 1), wrong(faces, 3), Promotion(max_class_loss=0.5), EVALUATE
    ).promoted


def test_a_smaller_gain_than_asked_for_is_kept_out() -> None:
    faces = frozen()
    verdict = challenge(faces, wrong(faces, 0, 2), wrong(faces, 0), Promotion(min_gain=0.3), EVALUATE)
    assert not verdict.promoted
    assert "not above 30.0" in verdict.reason


def test_a_face_without_an_answer_is_wrong() -> None:
    faces = frozen()
    silent = np.where(np.arange(len(faces.faces)) % 4 == 2, NONE, faces.label)
    verdict = challenge(faces, wrong(faces), silent, RULE, EVALUATE)
    assert verdict.gain.mean == pytest.approx(-0.25)
    assert verdict.new["unanswered"] == 10
    assert verdict.new["recall"] == pytest.approx({"neutral": 1.0, "happy": 0.5})


def test_the_first_one_meets_chance() -> None:
    faces = frozen()
    verdict = challenge(faces, None, wrong(faces, 0), RULE, EVALUATE)
    assert verdict.promoted
    assert verdict.old is None
    assert verdict.gain.mean == pytest.approx(0.25)
    assert "chance, 50.0 %" in verdict.reason
    assert not challenge(faces, None, wrong(faces, 0, 2), RULE, EVALUATE).promoted
