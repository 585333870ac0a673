import json

import numpy as np
import pytest

from mien.config.corpora import FerPlusCorpus
from mien.corpora.ferplus import LABELLED, ROWS, encoded, winner
from mien.manifest.pictures import decode, read_bytes
from tests.corpora.trees import answered, counts, read, replace, write

# Usage, image name, ten votes (neutral happiness surprise sadness anger disgust fear contempt unknown NF),
# and the winners under majority, argmax10 and argmax8
FACES = [
    ("Training", "fer0000000.png", (7, 1, 0, 2, 0, 0, 0, 0, 0, 0), "neutral", "neutral", "neutral"),
    ("Training", "fer0000001.png", (5, 0, 0, 5, 0, 0, 0, 0, 0, 0), None, "neutral", "neutral"),  # tie
    (
        "Training",
        "fer0000002.png",
        (1, 1, 1, 1, 1, 1, 1, 1, 1, 1),
        None,
        "neutral",
        "neutral",
    ),  # singles only
    ("Training", "fer0000003.png", (0, 4, 1, 1, 1, 1, 1, 1, 0, 0), "happy", "happy", "happy"),  # 4 of 4 left
    ("Training", "fer0000004.png", (0, 0, 2, 0, 0, 0, 0, 0, 8, 0), None, None, "surprise"),  # unknown wins
    ("Training", "fer0000005.png", (0, 0, 0, 0, 0, 0, 3, 0, 0, 7), None, None, "fear"),  # not a face wins
    ("Training", "", (0, 0, 0, 0, 0, 0, 0, 0, 0, 10), None, None, None),  # empty name
    ("Training", "fer0000005.png", (0, 0, 0, 0, 6, 4, 0, 0, 0, 0), "anger", "anger", "anger"),  # name again
    (
        "PublicTest",
        "fer0000007.png",
        (0, 0, 0, 0, 0, 9, 0, 0, 0, 0),
        "disgust",
        "disgust",
        "disgust",
    ),  # nine votes
    ("PublicTest", "fer0000008.png", (0, 0, 0, 0, 0, 0, 2, 8, 0, 0), "contempt", "contempt", "contempt"),
    ("PrivateTest", "fer0000009.png", (0, 0, 0, 10, 0, 0, 0, 0, 0, 0), "sad", "sad", "sad"),
    (
        "PrivateTest",
        "fer0000010.png",
        (0, 0, 4, 0, 0, 0, 3, 0, 3, 0),
        None,
        "surprise",
        "surprise",
    ),  # 4 of 10
]
RULES = ("majority", "argmax10", "argmax8")


def pixels(number: int) -> str:
    return " ".join(str((k * (number + 3)) % 251) for k in range(48 * 48))


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "fer"
    lines = [f'{n % 7},"{pixels(n)}",{face[0]}' for n, face in enumerate(FACES)]
    write(root / "fer2013.csv", "\n".join(["emotion,pixels,Usage", *lines, ""]))
    head = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    lines = [f"{usage},{name},{','.join(map(str, votes))}" for usage, name, votes, *_ in FACES]
    write(root / "fer2013new.csv", "\n".join([head, *lines, ""]))
    return root


@pytest.mark.parametrize("rule", RULES)
def test_twelve_faces_under_each_rule(root, rule):
    rows = read(FerPlusCorpus, root, rule=rule)
    assert [row["key"] for row in rows] == [f"fer2013-{n:05d}" for n in range(12)]
    assert [row.get("expression") for row in rows] == [face[3 + RULES.index(rule)] for face in FACES]
    assert [row["split"] for row in rows] == ["train"] * 8 + ["validation"] * 2 + ["test"] * 2
    assert {row["key"]: row["reject"] for row in rows if "reject" in row} == {
        "fer2013-00006": "not a face: its image name is empty"
    }


def test_votes_are_in_canonical_order(root):
    row = read(FerPlusCorpus, root)[5]
    # neutral happy sad surprise fear disgust anger contempt
    assert row["votes"] == [0, 0, 0, 0, 3, 0, 0, 0]
    known = {"NF": 7, "fer2013": 5, "image": "fer0000005.png", "unknown": 0}
    assert json.loads(row["attributes"]) == known
    assert read(FerPlusCorpus, root)[0]["votes"] == [7, 1, 2, 0, 0, 0, 0, 0]


def test_pixels_are_pictures_in_one_tar(root):
    rows = read(FerPlusCorpus, root)
    into = root.parent / "corpus"
    assert sorted(p.name for p in into.iterdir()) == ["counts.json", "manifest.parquet", "pictures-00000.tar"]
    for number in (0, 11):
        row = rows[number]
        picture = decode(read_bytes(into, row["path"], row["offset"], row["size"]))
        grey = np.array([int(word) for word in pixels(number).split()]).reshape(48, 48)
        np.testing.assert_array_equal(picture, np.repeat(grey[..., None], 3, axis=2))
    first = (into / "pictures-00000.tar").read_bytes()
    read(FerPlusCorpus, root)
    assert (into / "pictures-00000.tar").read_bytes() == first


def test_validation_may_join_the_training_part(root):
    rows = read(FerPlusCorpus, root, validation_joins_train=True)
    assert [row["split"] for row in rows] == ["train"] * 10 + ["test"] * 2
    assert counts(root)["official"]["train"] == 28_709 + 3_589
    assert counts(root)["official"]["validation"] == 0


def test_counts_of_the_public_vote_file(root):
    read(FerPlusCorpus, root)
    report = counts(root)
    assert (report["official"]["train"], report["official"]["rows"]) == (28_709, 35_887)
    of_train, _, of_test = LABELLED["majority"]
    for split, labelled in (("train", of_train), ("test", of_test)):
        classes = [n for what, n in report["official"].items() if what.startswith(f"{split}/")]
        assert sum(classes) == 2 * labelled  # each class, and all labelled
    assert sum(ROWS.values()) == 35_887
    assert (report["found"]["rows"], report["found"]["train/labelled"]) == (12, 3)


def test_a_majority_is_more_than_half_of_the_votes_that_are_left():
    assert winner([2, 2, 0, 0, 0, 0, 0, 0, 0, 0], "majority") is None
    assert winner([3, 2, 1, 1, 1, 1, 1, 0, 0, 0], "majority") == "neutral"  # 3 of 5
    assert winner([0, 0, 0, 0, 0, 0, 0, 0, 6, 4], "majority") is None


@pytest.mark.parametrize("bad", ["1 2 3", "x " * 2304, "256 " * 2304, "-1 " * 2304])
def test_pixels_that_are_none(bad):
    data, reason = encoded(bad)
    assert data == b""
    assert reason is not None


def shorten(root):
    """One picture lacks its last pixels."""
    replace(root / "fer2013.csv", pixels(2), " ".join(pixels(2).split()[:2300]))


def twice(root):
    lines = (root / "fer2013.csv").read_text().splitlines()
    write(root / "fer2013.csv", "\n".join([*lines, lines[-1], ""]))


@pytest.mark.parametrize(
    "damage",
    [
        (
            lambda r: replace(r / "fer2013new.csv", "Training,fer0000003.png,0,4,1,1,1,1,1,1,0,0\n", ""),
            r"fer2013.csv has 12 rows and fer2013new.csv 11",
        ),
        (
            lambda r: replace(r / "fer2013new.csv", "3.png,0,4", "3.png,0,many"),
            r"fer2013new.csv, line 5, .*votes that are no numbers: 0, many",
        ),
        (lambda r: replace(r / "fer2013.csv", '\n1,"', '\n7,"'), r"fer2013.csv, line 3, .*emotion '7'"),
        (lambda r: (r / "face.png").write_bytes(encoded(pixels(1))[0]), r"does not fit: .*face.png"),
        (shorten, {"fer2013.csv": "truncated: 2300 of 2304 pixels"}),
        (twice, r"fer2013.csv has 13 rows and fer2013new.csv 12"),
        (
            lambda r: replace(r / "fer2013new.csv", "PublicTest,fer0000007", "Training,fer0000007"),
            r"line 10, .*Usage 'Training', but fer2013.csv has 'PublicTest'",
        ),
        (lambda r: (r / "fer2013new.csv").unlink(), r"lacks fer2013new.csv; put"),
        (lambda r: replace(r / "fer2013new.csv", "contempt", "scorn"), r"line 2, .*no column 'contempt'"),
        (lambda r: write(r / "fer2013.csv", "emotion,pixels,Usage\n"), r"fer2013.csv has 0 rows"),
    ],
    ids=[
        "no label",
        "wrong votes",
        "wrong code",
        "unknown",
        "truncated",
        "twice",
        "drifted",
        "no votes",
        "no column",
        "empty",
    ],
)
def test_damage_is_answered(root, damage):
    do, answer = damage
    if isinstance(answer, dict):
        do(root)
        rejects = {row["key"]: row for row in read(FerPlusCorpus, root) if "reject" in row}
        assert sorted(rejects) == ["fer2013-00002", "fer2013-00006"]
        assert rejects["fer2013-00002"]["reject"] == answer["fer2013.csv"]
        assert rejects["fer2013-00002"]["path"] == "fer2013.csv"
        return
    answered(FerPlusCorpus, root, damage)
    assert not list((root.parent / "corpus").glob("pictures*"))
