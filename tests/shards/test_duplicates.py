import cv2
import imagehash
import numpy as np
import pytest
from PIL import Image
from skimage import data

from mien.config import MienError
from mien.shards import duplicates
from mien.shards.duplicates import hashes, likeness, near_duplicates, refuse_leaks, thumbnail
from mien.shards.folds import Split, split_fold
from mien.shards.writer import write_shards
from tests.shards.painted import SMALL, Corpus, jpeg, people, picture, png, sharded


def bits_apart(a: int, b: int) -> int:
    return (a ^ b).bit_count()


def decoded(data: bytes) -> np.ndarray:
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def test_hashes_are_those_of_imagehash():
    for seed in range(30):
        thumb = thumbnail(picture(seed, 112))
        theirs = imagehash.phash(Image.fromarray(thumb), hash_size=8, highfreq_factor=4)  # 32 px already
        ours = int.from_bytes(np.packbits(theirs.hash).tobytes(), "big")
        assert bits_apart(hashes(thumb)[0], ours) == 0


def test_the_mirrored_hash_is_the_hash_of_the_mirror_image():
    for seed in range(30):
        thumb = thumbnail(picture(seed))
        assert hashes(thumb) == hashes(np.ascontiguousarray(thumb[:, ::-1]))[::-1]


def test_likeness_by_hand():
    random = np.random.default_rng(0)
    one, other = (thumbnail(picture(seed, 112)) for seed in (0, 1))
    noise = random.integers(0, 255, (32, 32)).astype(np.uint8)
    flat = np.full((32, 32), 7, dtype=np.uint8)
    left = np.stack([one, one, one, flat, flat, one])
    right = np.stack([one, one // 2 + 30, 255 - one, flat, one, noise])
    alike = likeness(left, right)
    np.testing.assert_allclose(alike[[0, 2, 3, 4]], [1, 0, 1, 0], atol=1e-5)
    assert alike[1] > 0.999  # half the contrast, rounded
    assert alike[5] < 0.5
    assert likeness(one[None], other[None])[0] < 0.8


@pytest.mark.parametrize(
    "move", [(0.5, 0, 0, 1), (0, -0.5, 0, 1), (0, 0, 1.5, 1), (0, 0, 0, 1.02), (0.3, 0.3, -1, 0.99)]
)
def test_a_copy_that_was_aligned_anew_is_alike_and_another_face_is_not(move):
    right_px, down_px, degrees, size = move
    matrix = cv2.getRotationMatrix2D((55.5, 55.5), degrees, size)
    matrix[:, 2] += right_px, down_px
    for seed in range(10):
        still = cv2.GaussianBlur(picture(seed, 112), (0, 0), 1)
        moved = cv2.warpAffine(
            still, matrix, (112, 112), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
        )
        again = decoded(jpeg(moved, quality=60))
        other = thumbnail(picture(seed + 50, 112))
        assert likeness(thumbnail(still)[None], thumbnail(again)[None])[0] > 0.99
        assert likeness(thumbnail(still)[None], other[None])[0] < 0.9


def test_real_faces_are_told_apart_and_their_copies_found():
    """A hundred faces of Labeled Faces in the Wild, 25 px, as scikit-image brings them."""
    grey = (data.lfw_subset()[:100] * 255).astype(np.uint8)
    faces = [
        cv2.cvtColor(cv2.resize(g, (112, 112), interpolation=cv2.INTER_CUBIC), cv2.COLOR_GRAY2RGB)
        for g in grey
    ]
    thumbs = np.stack([thumbnail(face) for face in faces])
    first, second = np.triu_indices(100, 1)
    for other in (thumbs[second], thumbs[second][:, :, ::-1]):
        assert likeness(thumbs[first], other).max() < 0.97
    turn = cv2.getRotationMatrix2D((56, 56), 0.7, 1.005)
    copies = [
        decoded(jpeg(cv2.warpAffine(f, turn, (112, 112), borderMode=cv2.BORDER_REPLICATE), 60)) for f in faces
    ]
    copied = np.stack([thumbnail(np.ascontiguousarray(copy[:, ::-1])) for copy in copies])
    assert (likeness(thumbs, copied[:, :, ::-1]) >= 0.99).mean() >= 0.98
    apart = [bits_apart(hashes(a)[0], hashes(b)[1]) for a, b in zip(thumbs, copied, strict=True)]
    assert np.mean(np.array(apart) <= 12) >= 0.98


COPIES = {
    "the same file": lambda p: jpeg(p),
    "re-encoded": lambda p: jpeg(p, quality=55),
    "mirrored": lambda p: jpeg(p[:, ::-1]),
    "mirrored and re-encoded": lambda p: png(decoded(jpeg(p[:, ::-1], quality=60))),
    "brighter": lambda p: jpeg(np.clip(p * 0.8 + 25, 0, 255).astype(np.uint8)),
}


@pytest.mark.parametrize("how", COPIES)
def test_a_planted_copy_under_another_name_stops_the_build(tmp_path, how):
    corpus = people()
    corpus.add("planted", COPIES[how](picture(8)), expression="sad", subject="somebody-else")  # p002-0
    with pytest.raises(MienError, match=r"p002-0 and planted are .* stand in two parts of a fold"):
        write_shards("painted", **corpus.write(tmp_path / "in"), into=tmp_path / "out", params=SMALL)
    assert not (tmp_path / "out" / "index.parquet").exists()


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_of_a_person_under_the_same_name_is_fine(tmp_path, how):
    corpus = people()
    corpus.add("planted", COPIES[how](picture(8)), expression="sad", subject="p002")
    assert len(sharded("painted", **corpus.write(tmp_path / "in"), into=tmp_path / "out", params=SMALL)) == 49


def test_the_same_photograph_cropped_elsewhere_stops_the_build(tmp_path):
    corpus = people()
    corpus.add("planted", jpeg(picture(77)), subject="somebody-else", sha256=corpus.pictures[8]["sha256"])
    with pytest.raises(MienError, match="p002-0 and planted are the same file"):
        write_shards("painted", **corpus.write(tmp_path / "in"), into=tmp_path / "out", params=SMALL)


def test_by_picture_allows_it_by_name(tmp_path):
    corpus = people()
    corpus.add("planted", jpeg(picture(8)), subject="somebody-else")
    params = SMALL.model_copy(update={"by": "picture"})
    index = sharded("painted", **corpus.write(tmp_path / "in"), into=tmp_path / "out", params=params)
    refuse_leaks(index, split_fold(index, 0, 0.2, 0))
    assert index.shares_people


def test_a_person_moved_into_two_parts_is_caught(index):
    split = split_fold(index, 1, 0.25, 0)
    refuse_leaks(index, split)
    leaking = Split(
        train=split.train[1:], validation=split.validation, test=np.append(split.test, split.train[0])
    )
    with pytest.raises(MienError, match=r"p\d+-\d and p\d+-\d are the same person"):
        refuse_leaks(index, leaking)


def test_a_copy_is_no_leak_while_it_stands_in_no_part_or_in_the_same(tmp_path):
    corpus = people()
    corpus.add("planted", jpeg(picture(8), quality=60), expression="sad")  # of nobody known: goes with p002
    index = sharded("painted", **corpus.write(tmp_path / "in"), into=tmp_path / "out", params=SMALL)
    assert index.group[48] == index.group[8]
    refuse_leaks(index)
    rest = np.setdiff1d(np.arange(48), [8, 9, 10, 11])
    refuse_leaks(index, Split(train=rest[:20], validation=rest[20:24], test=np.append(rest[24:], 48)))
    with pytest.raises(MienError, match="p002-0 and planted are copies of one photograph"):
        refuse_leaks(index, Split(train=np.arange(24), validation=np.arange(24, 28), test=np.arange(28, 49)))


def test_only_what_looks_alike_is_registered(index, monkeypatch):
    monkeypatch.setattr(duplicates, "_confirmed", lambda *_: pytest.fail("nothing here is alike"))
    refuse_leaks(index)


def moved(face: np.ndarray, random: np.random.Generator, most: float) -> np.ndarray:
    """Up to so many px of 112 aside, degrees turned, per cent larger or smaller; encoded anew."""
    aside, down, turned, larger = random.uniform(-most, most, 4)
    matrix = cv2.getRotationMatrix2D((55.5, 55.5), turned, 1 + larger / 100)
    matrix[:, 2] += aside, down
    still = cv2.warpAffine(face, matrix, (112, 112), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    return decoded(jpeg(still, int(random.integers(50, 95))))


def test_every_copy_that_went_through_the_detector_again_is_found_among_others(tmp_path):
    """Each third of 150 has a copy, up to 1.5 px, degrees and per cent off, and every second is mirrored."""
    random, corpus, planted = np.random.default_rng(1), Corpus(), set()
    for number in range(150):
        face = cv2.GaussianBlur(picture(number, 112), (0, 0), 1)
        corpus.add(f"one-{number:03d}", jpeg(face), subject=f"p{number}")
        if number % 3 == 0:
            again = moved(face, random, 1.5)
            again = again[:, ::-1] if number % 2 else again
            corpus.add(f"two-{number:03d}", jpeg(again), subject=f"q{number}")
            planted.add((f"one-{number:03d}", f"two-{number:03d}", bool(number % 2)))
    params = SMALL.model_copy(update={"by": "picture", "phash_distance": 16})
    index = sharded("painted", **corpus.write(tmp_path / "in"), into=tmp_path / "out", params=params)
    pairs = near_duplicates(index, np.arange(len(index)))
    named = [index.keys[rows].tolist() for rows in (pairs.first, pairs.second)]
    assert {(*sorted(two), m) for *two, m in zip(*named, pairs.mirrored.tolist(), strict=True)} == planted
