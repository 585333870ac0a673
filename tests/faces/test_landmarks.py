import numpy as np
import pytest

from mien.config.faces import Align, Landmarks
from mien.faces.align import Aligned, align, eye_places, to_picture
from mien.faces.detect import make_detector
from mien.faces.landmarks import (
    INDICES_49,
    MIRROR,
    REGIONS,
    carried,
    eye_centres,
    make_predictor,
    mirror,
    normalised_errors,
    normalised_mean_error,
    points49,
)
from tests.faces.photographs import EYES, astronaut, guises


def numbered() -> np.ndarray:
    """Points that carry their own number: (k, 100 + k)."""
    return np.stack([np.arange(68), 100 + np.arange(68)], axis=1).astype(np.float32)


def test_regions_cover_each_point_once():
    parts = [REGIONS[name] for name in ("jaw", "brows", "nose", "eyes", "mouth")]
    assert sorted(sum(parts, ())) == list(range(68))
    assert REGIONS["all"] == tuple(range(68))


def test_the_49_are_those_of_the_trackers():
    assert len(INDICES_49) == len(set(INDICES_49)) == 49
    assert not set(INDICES_49) & {*range(17), 60, 64}
    np.testing.assert_array_equal(points49(numbered())[:, 0], INDICES_49)
    assert points49(np.zeros((3, 68, 2))).shape == (3, 49, 2)


def test_mirroring_twice_is_nothing_and_pairs_are_the_known_ones():
    np.testing.assert_array_equal(np.array(MIRROR)[list(MIRROR)], np.arange(68))
    for left, right in (
        (0, 16),
        (17, 26),
        (36, 45),
        (39, 42),
        (31, 35),
        (48, 54),
        (60, 64),
        (41, 46),
        (59, 55),
        (67, 65),
    ):
        assert MIRROR[left] == right
    for middle in (8, 27, 30, 33, 51, 57, 62, 66):
        assert MIRROR[middle] == middle
    points = np.random.default_rng(0).uniform(0, 111, (2, 68, 2)).astype(np.float32)
    np.testing.assert_allclose(mirror(mirror(points, 112), 112), points, atol=1e-4)


def test_mirrored_points_lie_where_the_mirrored_picture_has_them():
    points = np.zeros((68, 2), np.float32)
    points[36] = 0, 5  # first column
    assert mirror(points, 112)[45].tolist() == [111, 5]  # last column


def test_eye_centres_by_hand():
    np.testing.assert_allclose(eye_centres(numbered()), [[38.5, 138.5], [44.5, 144.5]])


def test_error_by_hand():
    truth = np.zeros((2, 68, 2), np.float32)
    truth[:, 45, 0] = 10  # outer eye corners ten apart
    points = truth.copy()
    points[0, 0] += (3, 4)  # one jaw point five off, of 17
    points[1, 48:] += (0, 1)  # the whole mouth one off
    errors = normalised_errors(points, truth)
    np.testing.assert_allclose(errors["jaw"], [0.5 / 17, 0])
    np.testing.assert_allclose(errors["mouth"], [0, 0.1])
    mean = normalised_mean_error(points, truth)
    assert mean["all"] == pytest.approx((0.5 / 68 + 0.1 * 20 / 68) / 2)
    assert mean["eyes"] == 0


def test_error_does_not_depend_on_size_or_place():
    rng = np.random.default_rng(3)
    truth = rng.uniform(0, 100, (4, 68, 2)).astype(np.float32)
    points = truth + rng.normal(size=truth.shape).astype(np.float32)
    first, second = normalised_mean_error(points, truth), normalised_mean_error(points * 3 + 7, truth * 3 + 7)
    assert first == pytest.approx(second, rel=1e-4)


def test_given_points_are_carried_into_the_crop():
    points = numbered()
    moved = carried(points.ravel().tolist(), [2.0, 0, 1, 0, 2, -3])
    np.testing.assert_allclose(moved, points * 2 + (1, -3))


@pytest.fixture(scope="module")
def aligned() -> list[Aligned]:
    settings = Align(min_score=0.5)
    found = align(make_detector(settings), [astronaut(), *guises(3)], settings)
    assert all(isinstance(face, Aligned) for face in found)
    return found


def test_dlib_finds_the_eyes_of_the_astronaut(aligned):
    points = make_predictor(Landmarks(), Align()).predict([face.crop for face in aligned])
    assert points.shape == (4, 68, 2)
    away = np.linalg.norm(eye_centres(points) - eye_places(Align()), axis=-1) / (0.36 * 112)
    assert away.max() < 0.12  # five points and 68 agree about the eyes
    eyes = to_picture(eye_centres(points[:1]), aligned[0].transform[None])[0]
    assert np.linalg.norm(eyes - EYES, axis=1).max() < 0.1 * (EYES[1, 0] - EYES[0, 0])
    assert (points[:, 8, 1] > points[:, 57, 1]).all()  # chin below lip
    assert (points[:, 57, 1] > points[:, 30, 1]).all()  # lip below nose
    assert (points[:, 16, 0] > points[:, 0, 0]).all()


def test_dlib_in_a_batch_is_dlib_alone(aligned):
    predictor = make_predictor(Landmarks(), Align())
    together = predictor.predict([face.crop for face in aligned])
    np.testing.assert_array_equal(together[2], predictor.predict([aligned[2].crop])[0])
    assert predictor.predict([]).shape == (0, 68, 2)


def test_points_follow_the_size_of_the_crop(aligned):
    large = Align(crop_px=224, min_score=0.5)
    face = align(make_detector(large), [astronaut()], large)[0]
    assert isinstance(face, Aligned)
    small = make_predictor(Landmarks(), Align()).predict([aligned[0].crop])[0]
    double = make_predictor(Landmarks(), large).predict([face.crop])[0]
    assert np.abs((double + 0.5) / 2 - 0.5 - small).mean() < 1.0  # px of 112


def test_given_needs_no_predictor():
    with pytest.raises(ValueError, match="given"):
        make_predictor(Landmarks(model="given"), Align())
