import cv2
import numpy as np
import pytest

from mien.config.corpora import MmiCorpus
from mien.manifest.pictures import decode, read_bytes
from tests.corpora.trees import answered, copy, counts, cut, draw, expected, read, replace, write


def film(path, grey, frames):
    """An uncompressed-like video whose frame k is grey + 10 k."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (64, 48))
    assert writer.isOpened()
    for k in range(frames):
        writer.write(np.full((48, 64, 3), grey + 10 * k, dtype=np.uint8))
    writer.release()


def xml(subject, emotion):
    tag = f'<Metatag Name="Emotion" Value="{emotion}"/>' if emotion else ""
    return f'<Session><Subject id="{subject}" gender="f"/><Metatag Name="View" Value="1"/>{tag}</Session>\n'


ANGRY, GLAD = "Sessions/17/S001-017.avi", "Sessions/18/S002-018.avi"


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "mmi"
    film(root / ANGRY, 20, 7)
    write(root / "Sessions/17/session.xml", xml(1, 1))
    film(root / GLAD, 100, 4)
    write(root / "Sessions/18/session.xml", xml(2, 4))
    film(root / "Sessions/19/S002-019.avi", 60, 3)  # action units only
    write(root / "Sessions/19/session.xml", xml(2, None))
    draw(root / "Sessions/20/S003-020.jpg")  # a session of one picture
    return root


def row(stem, k, frames, subject, expression):
    row = {"key": f"{stem.lower().replace('/', '-')}-{k:04d}", "expression": expression, "subject": subject}
    return row | {"sequence": stem, "frame": k, "frames": frames, "path": "pictures-00000.tar"}


def test_three_middle_frames_become_pictures(root):
    rows = read(MmiCorpus, root)
    assert [{k: v for k, v in r.items() if k not in ("offset", "size")} for r in rows] == expected(
        *(row("17/S001-017", k, 7, "1", "anger") for k in (2, 3, 4)),  # n // 2 = 3 and its neighbours
        *(row("18/S002-018", k, 4, "2", "happy") for k in (1, 2, 3)),
    )
    for shown in rows:
        data = read_bytes(root.parent / "corpus", shown["path"], shown["offset"], shown["size"])
        grey = (20 if shown["subject"] == "1" else 100) + 10 * shown["frame"]
        assert abs(float(decode(data).mean()) - grey) < 4  # the video is a lossy one
    assert (counts(root)["found"]["sequences/labelled"], counts(root)["official"]["sequences"]) == (2, 213)


def test_neutral_first_frames_when_asked_for(root):
    rows = read(MmiCorpus, root, neutral_frames=1)
    assert [(r["frame"], r["expression"]) for r in rows][:2] == [(0, "neutral"), (2, "anger")]


def test_another_xml_is_a_setting(root):
    other = root.parent / "other"
    film(other / "Data/1/a.avi", 50, 3)
    write(other / "Data/1/a.xml", '<s person="7"><who n="P7"/><shown e="joy"/></s>')
    rows = read(
        MmiCorpus,
        other,
        sessions="Data",
        subject_element="who",
        subject_attribute="n",
        emotion_element="shown",
        emotion_attribute="e",
        codes={"joy": "happy"},
    )
    assert {(r["subject"], r["expression"]) for r in rows} == {("P7", "happy")}


XML = "Sessions/17/session.xml"


@pytest.mark.parametrize(
    "damage",
    [
        (
            lambda r: (r / XML).unlink(),
            r"Sessions/17 of corpora.mini holds a video and 0 XML files instead of one",
        ),
        (
            lambda r: replace(r / XML, '"Emotion" Value="1"', '"Emotion" Value="9"'),
            r"session.xml .*emotion '9', which corpora.mini.codes has not",
        ),
        (lambda r: film(r / "trailer.avi", 10, 2), r"not understood: trailer.avi"),
        (lambda r: (r / ANGRY).write_bytes((r / ANGRY).read_bytes()[:100]), {ANGRY: "unreadable"}),
        (lambda r: copy(r / ANGRY, r / GLAD), {GLAD: f"copy of {ANGRY}"}),
        (lambda r: cut(r / XML), r"session.xml .*is no XML"),
        (
            lambda r: (
                [p.unlink() for p in r.glob("Sessions/*/*.xml")]
                and [write(r / f"Sessions/{n}/s.xml", xml(1, None)) for n in (17, 18, 19)]
            ),
            r"does not fit: it must hold Sessions/",
        ),
    ],
    ids=["no label", "wrong code", "unknown", "truncated", "copy", "no XML", "no emotions"],
)
def test_damage_is_answered(root, damage):
    answered(MmiCorpus, root, damage)
