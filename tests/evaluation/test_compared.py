"""Two trainings side by side, on predictions written down by hand over a striped corpus."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from mien.config import MienError
from mien.config.report import Evaluate
from mien.evaluation.compared import Side, compare
from mien.evaluation.compared_sheet import COLUMNS, MOST, sheet
from mien.evaluation.figures import class_differences
from mien.evaluation.predictions import TEST, Predictions
from mien.shards.index import Index, read_index
from tests.striped import write_corpus

EVALUATE = Evaluate(resamples=200)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return read_index(write_corpus(tmp_path_factory.mktemp("compared")) / "striped")


def side(index: Index, name: str, wrong: set[str], seeds: int = 1) -> Side:
    """Right but for some keys, which get the next class; every seed says the same."""
    number = {expression: n for n, expression in enumerate(index.classes)}
    label = np.array([number[e] for e in index.expression.tolist()] * seeds)
    key = np.array(index.keys.tolist() * seeds, dtype=object)
    named = np.where(np.isin(key, list(wrong)), (label + 1) % len(number), label)
    probabilities = np.full((len(key), len(number)), 0.1)
    probabilities[np.arange(len(key)), named] = 0.8
    made = Predictions(
        key=key,
        fold=np.tile(index.fold.astype(np.int64), seeds),
        seed=np.repeat(np.arange(seeds), len(index)),
        part=np.full(len(key), TEST, dtype=object),
        label=label,
        probabilities=probabilities,
    )
    return Side(name, "resnet18", "striped", index.digest, made)


def test_figures_tests_confusion_and_faces(index: Index) -> None:
    keys = index.keys.tolist()
    first, second = side(index, "a", set(keys[:12]), seeds=2), side(index, "b", set(keys[6:9]))
    found = compare(first, second, index, EVALUATE)
    assert found.folds == (0, 1)
    assert found.faces == {"both": 36, "only_first": 0, "only_second": 9, "neither": 3}
    one, two = found.figures["accuracy"]
    assert found.differences["accuracy"].mean == pytest.approx(two.mean - one.mean)
    assert found.differences["mean_accuracy"].mean > 0
    assert found.p_value == pytest.approx(2 / 2**8 * 2**6)  # two of eight people gain, none loses
    assert found.mcnemar_p == pytest.approx(2 / 2**9)
    assert {face.key for face in found.differing} == set(keys[:6]) | set(keys[9:12])
    assert {face.right for face in found.differing} == {"second"}
    assert found.confusion_points.sum(axis=1) == pytest.approx(np.zeros(3), abs=1e-9)
    assert (np.diag(found.confusion_points) > 0).all()
    assert found.as_json()["differing"][0]["right"] == "second"


def test_the_sheet_shows_each_differing_face_and_the_matrix_is_drawn(index: Index) -> None:
    keys = index.keys.tolist()
    found = compare(side(index, "a", set(keys[:10])), side(index, "b", set()), index, EVALUATE)
    drawn = Image.open(io.BytesIO(sheet(index, found.differing, "a", "b")))
    pixels = np.asarray(drawn)
    faces = [pixels[70:200, 12 + 162 * n : 150 + 162 * n] for n in range(COLUMNS)]
    assert all(face.std() > 20 for face in faces)
    assert sheet(index, found.differing * 20, "a", "b")[:4] == b"\x89PNG"
    assert Image.open(io.BytesIO(sheet(index, found.differing * 20, "a", "b"))).height > MOST // COLUMNS * 200
    chart = class_differences(found.confusion_points, found.classes, "b less a")
    assert np.asarray(Image.open(io.BytesIO(chart)).convert("L")).std() > 5


def test_what_cannot_be_held_face_against_face_is_refused(index: Index) -> None:
    here, there = side(index, "a", set()), side(index, "b", set())
    with pytest.raises(MienError, match="other shards"):
        compare(here, replace(there, shards_digest="0"), index, EVALUATE)
    with pytest.raises(MienError, match="only trainings on one corpus"):
        compare(here, replace(there, corpus="another"), index, EVALUATE)
    fewer = there.predictions.only(there.predictions.key != index.keys[0])
    with pytest.raises(MienError, match="test other faces in fold"):
        compare(here, replace(there, predictions=fewer), index, EVALUATE)
    one, other = (s.predictions.only(s.predictions.fold == n) for n, s in enumerate((here, there)))
    with pytest.raises(MienError, match="no fold in common"):
        compare(replace(here, predictions=one), replace(there, predictions=other), index, EVALUATE)
