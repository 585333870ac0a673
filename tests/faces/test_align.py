import io

import cv2
import numpy as np
import pytest
from PIL import Image

from mien.config.faces import Align
from mien.faces.align import (
    Aligned,
    align,
    choose,
    cut,
    encode,
    eye_places,
    similarity,
    to_crop,
    to_picture,
    warp,
)
from mien.faces.detect import Detector, Faces
from mien.manifest.pictures import Reject

SETTINGS = Align(crop_px=100, eye_line=0.4, eye_distance=0.36)


def faces(*rows: tuple[float, float, float, float]) -> Faces:
    """Faces given as left, top, side, score, their eyes a quarter and three quarters along."""
    boxes = np.array([(x, y, x + side, y + side) for x, y, side, _ in rows], np.float32).reshape(-1, 4)
    share = np.array([(0.25, 0.4), (0.75, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)])
    five = boxes[:, None, :2] + share * (boxes[:, None, 2:] - boxes[:, None, :2])
    return Faces(boxes, np.array([row[3] for row in rows], np.float32), five.astype(np.float32))


def test_eye_places_by_hand():
    # eyes 36 px apart about the middle, 40 px from the top; the first pixel's centre lies half a pixel in
    np.testing.assert_allclose(eye_places(SETTINGS), [[31.5, 39.5], [67.5, 39.5]])


def test_a_similarity_is_found_again():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(6, 5, 2))
    angle, scale, shift = rng.uniform(-3, 3, 6), rng.uniform(0.2, 5, 6), rng.normal(size=(6, 2))
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], 1).reshape(6, 2, 2)
    known = np.concatenate([scale[:, None, None] * turn, shift[:, :, None]], axis=2)
    np.testing.assert_allclose(similarity(points, to_crop(points, known)), known, atol=1e-12)


def test_a_similarity_is_the_least_squares_one_and_never_a_mirror():
    rng = np.random.default_rng(1)
    source, target = rng.normal(size=(4, 5, 2)), rng.normal(size=(5, 2))

    def error(matrices: np.ndarray) -> np.ndarray:
        return np.square(to_crop(source, matrices) - target).sum((1, 2))

    best = similarity(source, target)
    assert (np.linalg.det(best[:, :, :2]) > 0).all()
    for k in range(50):  # any other similarity near it is worse
        a, b, x, y = rng.normal(scale=0.05, size=4)
        moved = best + np.array([[a, -b, x], [b, a, y]])
        assert (error(moved) >= error(best)).all(), k


def test_points_go_both_ways():
    rng = np.random.default_rng(2)
    transforms = similarity(rng.normal(size=(3, 2, 2)) * 50, eye_places(SETTINGS))
    points = rng.normal(size=(3, 68, 2)) * 100
    np.testing.assert_allclose(to_picture(to_crop(points, transforms), transforms), points, atol=1e-9)
    np.testing.assert_allclose(to_crop(points[0], transforms[0]), to_crop(points, transforms)[0])


def test_the_eyes_come_to_their_places():
    picture = np.zeros((300, 300, 3), np.uint8)
    found = faces((80, 90, 120, 0.99))
    aligned = cut(picture, found, 0, SETTINGS)
    np.testing.assert_allclose(to_crop(aligned.five[:2], aligned.transform), eye_places(SETTINGS), atol=1e-4)
    assert aligned.crop.shape == (100, 100, 3)


@pytest.mark.parametrize("scale", [0.23, 0.5, 0.9, 1.0, 1.7])
def test_a_spot_comes_where_the_transform_says(scale):
    picture = np.zeros((400, 400, 3), np.uint8)
    cv2.circle(picture, (211, 187), 9, (255, 255, 255), -1)
    angle = 0.3
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    transform = np.concatenate([turn, (np.array([50.0, 45.0]) - turn @ [211, 187])[:, None]], axis=1)
    crop = warp(picture, transform, 100)[..., 0].astype(float)
    y, x = np.mgrid[:100, :100]
    place = (crop * x).sum() / crop.sum(), (crop * y).sum() / crop.sum()
    np.testing.assert_allclose(place, (50, 45), atol=0.1)


def test_shrinking_averages_instead_of_picking():
    """A fine checkerboard becomes grey, not a pattern of its own."""
    y, x = np.mgrid[:800, :800]
    board = np.repeat((((x + y) % 2) * 255).astype(np.uint8)[..., None], 3, axis=2)
    transform = np.array([[0.125, 0, 0.3], [0, 0.125, 0.3]])
    inner = warp(board, transform, 100)[5:-5, 5:-5].astype(int)
    assert np.abs(inner - 127.5).max() <= 12


def test_a_face_at_the_edge_still_gives_a_whole_crop():
    picture = np.full((120, 120, 3), 77, np.uint8)
    for x, y in ((-60, -60), (100, 100), (-20, 40)):
        crop = cut(picture, faces((x, y, 80, 0.99)), 0, SETTINGS).crop
        assert crop.shape == (100, 100, 3)
        assert (crop == 77).all()


def test_grey_crops_have_one_channel():
    picture = np.zeros((200, 200, 3), np.uint8)
    picture[..., 0] = 255
    crop = cut(picture, faces((50, 50, 100, 0.99)), 0, SETTINGS.model_copy(update={"colour": "grey"})).crop
    assert crop.shape == (100, 100, 1)
    assert (crop == 76).all()  # 0.299 of 255
    assert Image.open(io.BytesIO(encode(crop, 95))).mode == "L"


def test_the_best_face_is_sure_and_large():
    found = faces((0, 0, 50, 0.95), (100, 0, 80, 0.93), (200, 0, 300, 0.5), (0, 100, 20, 0.99))
    assert choose(found, SETTINGS) == 1


def test_a_given_box_chooses_among_faces():
    found = faces((0, 0, 50, 0.95), (100, 0, 80, 0.93))
    assert choose(found, SETTINGS, np.array([2.0, 2, 48, 51])) == 0
    assert choose(found, SETTINGS, np.array([300.0, 0, 350, 50])) == 1  # neither overlaps: the nearer one


@pytest.mark.parametrize(
    ("found", "settings", "reason"),
    [
        (Faces.none(), SETTINGS, "^no face$"),
        (faces((0, 0, 50, 0.4)), SETTINGS, "no face surer than 0.9"),
        (faces((0, 0, 20, 0.99)), SETTINGS, "smaller than 24 px"),
        (faces((0, 0, 50, 0.99), (90, 0, 50, 0.99)), Align(several_faces="reject"), "several faces"),
    ],
)
def test_rejects_say_why(found, settings, reason):
    with pytest.raises(Reject, match=reason):
        choose(found, settings)


def test_a_small_or_unsure_second_face_is_not_several():
    settings = Align(several_faces="reject")
    assert choose(faces((0, 0, 50, 0.99), (90, 0, 50, 0.3), (0, 90, 10, 0.99)), settings) == 0


def test_eyes_at_one_place_are_rejected():
    found = faces((50, 50, 100, 0.99))
    found.five[0, 1] = found.five[0, 0]
    with pytest.raises(Reject, match="eyes not apart"):
        cut(np.zeros((200, 200, 3), np.uint8), found, 0, SETTINGS)


def test_jpeg_without_metadata_keeps_colours():
    crop = np.zeros((64, 64, 3), np.uint8)
    crop[:, ::2] = 255, 0, 0
    crop[:, 1::2] = 0, 0, 255
    data = encode(crop, 95)
    image = Image.open(io.BytesIO(data))
    assert not image.getexif()
    assert b"Exif" not in data
    assert (
        np.abs(np.asarray(image).astype(int) - crop).max() < 60
    )  # halved colour resolution would miss by 127
    assert encode(crop, 95) == data


class Fixed(Detector):
    """Finds what it was told."""

    def __init__(self, found: list[Faces]) -> None:
        self.found = found

    def detect(self, pictures):
        return self.found[: len(pictures)]


def test_a_batch_keeps_its_order_with_rejects_between():
    picture = np.zeros((200, 200, 3), np.uint8)
    detector = Fixed([faces((50, 50, 100, 0.99)), Faces.none(), faces((20, 20, 60, 0.95))])
    results = align(detector, [picture] * 3, SETTINGS)
    assert [type(result) for result in results] == [Aligned, Reject, Aligned]
    assert results[2].score == pytest.approx(0.95)
    assert align(detector, [], SETTINGS) == []
