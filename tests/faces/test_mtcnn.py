import numpy as np
import pytest
import torch
from facenet_pytorch import MTCNN

from mien.faces.detect import detect_shrunk
from mien.faces.mtcnn import Mtcnn
from tests.faces.photographs import EYES, astronaut, guises


@pytest.fixture(scope="module")
def detector() -> Mtcnn:
    return Mtcnn(min_face_px=20)


def test_a_batch_gives_what_single_pictures_give_to_the_bit(detector):
    pictures = guises(12)
    singles = [detector.detect([picture])[0] for picture in pictures]
    assert sum(len(faces) for faces in singles) >= 12
    for batch in (pictures, pictures[::-1][:7]):
        for faces, alone in zip(
            detector.detect(batch), singles if batch is pictures else singles[::-1], strict=False
        ):
            np.testing.assert_array_equal(faces.boxes, alone.boxes)
            np.testing.assert_array_equal(faces.five, alone.five)
            np.testing.assert_array_equal(faces.scores, alone.scores)


def test_sizes_may_be_mixed(detector):
    pictures = [astronaut()[:256, 60:400], *guises(2), astronaut()[:200, 100:333], *guises(1, 192)]
    for faces, picture in zip(detector.detect(pictures), pictures, strict=True):
        alone = detector.detect([picture])[0]
        assert len(faces) >= 1
        np.testing.assert_array_equal(faces.boxes, alone.boxes)


def test_boxes_are_those_of_facenet_pytorch(detector):
    library = MTCNN(keep_all=True, min_face_size=20)
    pictures = guises(8)
    boxes, scores, points = library.detect(np.stack(pictures), landmarks=True)
    for faces, box, score, five in zip(detector.detect(pictures), boxes, scores, points, strict=True):
        order = np.argsort(-score.astype(float))
        assert np.abs(faces.boxes - box[order].astype(float)).max() < 1e-3
        assert np.abs(faces.five - five[order].astype(float)).max() < 1e-3
        assert np.abs(faces.scores - score[order].astype(float)).max() < 1e-5


def test_the_astronaut_is_found_where_she_is(detector):
    faces = detector.detect([astronaut()])[0]
    assert faces.scores[0] > 0.99
    eyes = faces.five[0, :2]
    assert np.linalg.norm(eyes - EYES, axis=1).max() < 0.1 * (EYES[1, 0] - EYES[0, 0])
    assert faces.five[0, 3, 0] < faces.five[0, 4, 0]  # the picture's left mouth corner first


def test_no_face_no_picture_and_a_picture_smaller_than_a_face(detector):
    assert detector.detect([]) == []
    noise = np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)
    for faces in detector.detect([np.zeros((64, 64, 3), np.uint8), noise, noise[:10, :10]]):
        assert len(faces) == 0
        assert faces.boxes.shape == (0, 4)
        assert faces.five.shape == (0, 5, 2)


def test_points_of_a_shrunk_picture_are_in_px_of_the_original(detector):
    large = np.repeat(np.repeat(astronaut(), 2, axis=0), 2, axis=1)  # pixel k becomes 2k and 2k + 1
    small_faces = detect_shrunk(detector, [astronaut()], 512)[0]
    large_faces = detect_shrunk(detector, [large], 512)[0]
    np.testing.assert_allclose(large_faces.boxes, small_faces.boxes * 2, atol=1e-3)
    np.testing.assert_allclose(large_faces.five, small_faces.five * 2 + 0.5, atol=1e-3)


def test_threads_do_not_move_a_box(detector):
    pictures, threads = guises(4), torch.get_num_threads()
    before = detector.detect(pictures)
    try:
        torch.set_num_threads(1)
        after = detector.detect(pictures)
    finally:
        torch.set_num_threads(threads)
    for one, two in zip(before, after, strict=True):
        np.testing.assert_allclose(one.boxes, two.boxes, atol=1e-3)
