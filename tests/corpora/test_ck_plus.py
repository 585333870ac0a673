import pytest

from mien.config.corpora import CkPlusCorpus
from mien.corpora.ck_plus import official
from tests.corpora.trees import answered, copy, counts, cut, draw, expected, read, replace, section, write

POINTS = "".join(f"  {1 + k % 17:.7e}   {2 + k // 17:.7e}\n" for k in range(68))


def frame(number: int, person: str = "S005", sequence: str = "001") -> str:
    return f"cohn-kanade-images/{person}/{sequence}/{person}_{sequence}_{number:08d}.png"


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "ck"
    for number in range(1, 7):  # anger, six frames
        draw(root / frame(number))
    write(root / "Emotion/S005/001/S005_001_00000006_emotion.txt", "   1.0000000e+00\n")
    for number in (4, 5):  # contempt, two frames, numbered from 4
        draw(root / frame(number, "S130", "012"))
    write(root / "Emotion/S130/012/S130_012_00000005_emotion.txt", "   2.0000000e+00\n")
    draw(root / frame(1, "S130", "013"))  # not labelled: an empty folder is the owner's way to say so
    (root / "Emotion/S130/013").mkdir()
    write(root / "Landmarks/S005/001/S005_001_00000006_landmarks.txt", POINTS)
    write(root / "FACS/S005/001/S005_001_00000006_facs.txt", "   9.0 0.0\n")
    return root


def row(number, k, frames, person, sequence, expression, **more):
    path = frame(number, person, sequence)
    about = {
        "key": path[:-4].lower().replace("/", "-"),
        "path": path,
        "expression": expression,
        "view": "frontal",
    }
    about |= {"subject": person, "sequence": f"{person}-{sequence}", "frame": k, "frames": frames}
    return about | more


def test_the_layout_becomes_rows(root):
    points = [v for k in range(68) for v in (1 + k % 17, 2 + k // 17)]
    labels = ["neutral", None, None, "anger", "anger", "anger"]
    rows = [row(k + 1, k, 6, "S005", "001", label) for k, label in enumerate(labels)]
    rows[5] |= {"points": points, "box": [1, 2, 17, 5]}
    rows += [row(4, 0, 2, "S130", "012", "contempt"), row(5, 1, 2, "S130", "012", "contempt")]
    rows += [row(1, 0, 1, "S130", "013", None)]
    assert read(CkPlusCorpus, root, neutral_frames=1) == expected(*rows)


@pytest.mark.parametrize(
    ("settings", "labels"),
    [
        ({}, [None, None, None, "anger", "anger", "anger"]),
        ({"frames_a_sequence": 5}, [None] + ["anger"] * 5),
        ({"labelled_frames": "all"}, ["anger"] * 6),
        (
            {"labelled_frames": "middle"},
            [None, None, "anger", "anger", "anger", None],
        ),  # 6 // 2 = 3 and its neighbours
        ({"expressions": ["fear"], "neutral_frames": 1}, [None] * 6),
    ],
)
def test_which_frames_are_labelled(root, settings, labels):
    rows = [r for r in read(CkPlusCorpus, root, **settings) if r["subject"] == "S005"]
    assert [r.get("expression") for r in rows] == labels


def test_counts_of_the_protocols(root):
    eight = official(section(CkPlusCorpus, root))
    assert (eight["sequences"], eight["people"], eight["sequences/labelled"]) == (593, 123, 327)
    basic = ["happy", "sad", "surprise", "fear", "disgust", "anger"]
    assert official(section(CkPlusCorpus, root, expressions=basic))["sequences/labelled"] == 309
    read(CkPlusCorpus, root, neutral_frames=1)
    found = counts(root)["found"]
    assert (found["sequences"], found["sequences/labelled"], found["sequences/contempt"]) == (3, 2, 1)


def test_equal_frames_of_one_sequence_stay(root):
    copy(root / frame(1), root / frame(2))
    assert not any("reject" in row for row in read(CkPlusCorpus, root))


EMOTION = "Emotion/S005/001/S005_001_00000006_emotion.txt"


def no_labels(root):
    for path in root.glob("Emotion/*/*/*.txt"):
        path.unlink()
    for folder in (*root.glob("Emotion/*/*"), *root.glob("Emotion/*"), root / "Emotion"):
        folder.rmdir()


@pytest.mark.parametrize(
    "damage",
    [
        (no_labels, r"lacks Emotion; it must hold .*there are FACS/"),
        (
            lambda r: replace(r / EMOTION, "1.0", "8.0"),
            r"S005_001_00000006_emotion.txt .*code 8, which is none of 1 to 7",
        ),
        (
            lambda r: draw(r / "cohn-kanade-images/S005/001/portrait.png"),
            r"not understood: cohn-kanade-images/S005/001/portrait.png",
        ),
        (lambda r: cut(r / frame(3)), {frame(3): "truncated"}),
        (
            lambda r: copy(r / frame(1), r / frame(4, "S130", "012")),
            {frame(4, "S130", "012"): f"copy of {frame(1)}"},
        ),
        (
            lambda r: draw(r / frame(7)),
            r"S005_001_00000006_emotion.txt .*not beside the last frame of S005/001",
        ),
        (
            lambda r: write(r / EMOTION.replace("06", "05"), "1.0"),
            r"00000005_emotion.txt .*not beside the last frame of",
        ),
        (lambda r: write(r / EMOTION, ""), r"holds 0 numbers instead of 1"),
        (lambda r: replace(r / EMOTION, "1.0", "one"), r"something that is no number"),
        (lambda r: write(r / EMOTION.replace("06_emotion", "06"), "1"), r"is not named like"),
        (
            lambda r: cut(r / "Landmarks/S005/001/S005_001_00000006_landmarks.txt"),
            r"_landmarks.txt .*numbers instead of 136",
        ),
    ],
    ids=[
        "no label",
        "wrong code",
        "unknown",
        "truncated",
        "copy",
        "not last",
        "two labels",
        "empty",
        "words",
        "odd name",
        "points",
    ],
)
def test_damage_is_answered(root, damage):
    answered(CkPlusCorpus, root, damage)
