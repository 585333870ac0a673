"""A model on pictures as they come."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien import methods
from mien.config import MienError
from mien.config.faces import Align, Landmarks
from mien.evaluation import inference
from mien.evaluation.inference import Predictor
from mien.manifest.pictures import Reject
from tests import tiny
from tests.faces.photographs import astronaut, guises

ABOUT = {
    "align": Align(crop_px=48).model_dump(mode="json"),
    "landmarks": Landmarks().model_dump(mode="json"),
}


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    folder = tmp_path_factory.mktemp("resnet18")
    methods.save(tiny.trained("resnet18"), "resnet18", folder, ABOUT)
    return Predictor(folder, landmarks=True)


def test_a_batch_has_the_answers_of_each_picture_alone(predictor: Predictor) -> None:
    pictures = [*guises(5), astronaut(), np.zeros((100, 80, 3), np.uint8), guises(7, side=200)[6]]
    for together, picture in zip(predictor.predict(pictures), pictures, strict=True):
        (alone,) = predictor.predict([picture])
        assert (together.reason, together.score, together.expression) == (
            alone.reason,
            alone.score,
            alone.expression,
        )
        # found and cut out to the bit; a network's sums depend on the batch in their last bits
        np.testing.assert_array_equal(together.box, alone.box)
        np.testing.assert_array_equal(together.points, alone.points)
        assert together.probabilities == pytest.approx(alone.probabilities, abs=1e-6)


def test_what_is_no_picture_has_its_reason_between_the_others(predictor: Predictor) -> None:
    file = io.BytesIO()
    Image.fromarray(astronaut()).save(file, "PNG")
    answers = predictor.predict_encoded([b"text", file.getvalue(), file.getvalue()[:5000]])
    assert [a.reason and a.reason.split(":")[0] for a in answers] == [
        "not a picture",
        None,
        "truncated or damaged",
    ]
    told = answers[1].told()
    assert told["expression"] == answers[1].expression
    assert sum(told["probabilities"].values()) == pytest.approx(1)
    left, top, right, bottom = told["box"]
    assert left < 203 < 246 < right  # the pupils
    assert top < 100 < bottom
    assert np.shape(told["points"]) == (68, 2)
    assert answers[0].told() == {
        "expression": None,
        "probabilities": None,
        "reason": "not a picture",
        "box": None,
        "points": None,
        "score": None,
    }


def test_pictures_come_in_as_they_are_needed(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    blank, made = np.zeros((50, 40, 3), np.uint8), []

    def pictures(sizes: list[int]):
        for k, size in enumerate(sizes):
            made.append(k)
            yield Reject("none") if size == 0 else np.tile(blank, (size, 1, 1))

    stream = predictor.stream(pictures([1] * 10), at_a_time=3)
    next(stream)
    assert made == [0, 1, 2, 3]  # three in work, and the one that did not fit
    assert len(list(stream)) == 9
    monkeypatch.setattr(inference, "PIXELS_AT_A_TIME", 5000)
    made.clear()
    stream = predictor.stream(pictures([1, 1, 1, 9, 0, 1]))
    next(stream)
    assert made == [0, 1, 2]  # two have 4,000 pixels
    assert [isinstance(p, Reject) for p, _ in stream] == [False, False, False, True, False]


def test_a_one_class_model_is_refused(tmp_path: Path) -> None:
    methods.save(tiny.trained("svdd"), "svdd", tmp_path, ABOUT)
    with pytest.raises(MienError, match=r"knows one normal class .*take a model of an experiment"):
        Predictor(tmp_path)
