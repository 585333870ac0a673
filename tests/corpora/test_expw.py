import pytest

from mien.config.corpora import ExpwCorpus
from tests.corpora.trees import answered, copy, counts, cut, draw, expected, read, replace, write

LIST = "label/label.lst"


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "expw"
    for name in ("afraid_man_1.jpg", "crowd_2.jpg", "nobody_3.jpg"):
        draw(root / "image" / name, 60)
    # name, face, top, left, right, bottom, confidence, expression
    write(
        root / LIST,
        "afraid_man_1.jpg 0 5 10 40 45 85.5 2\ncrowd_2.jpg 0 1 2 20 22 30 3\ncrowd_2.jpg 1 3 30 50 24 9.5 6\n",
    )
    return root


def row(picture, face, expression, box, confidence):
    attributes = f'{{"confidence": {confidence}, "face": {face}}}'
    row = {
        "key": f"{picture}-face{face}",
        "path": f"image/{picture}.jpg",
        "expression": expression,
        "box": box,
    }
    return row | {"attributes": attributes}


def test_each_face_of_a_picture_is_a_row_with_its_box(root):
    assert read(ExpwCorpus, root) == expected(
        row("afraid_man_1", 0, "fear", [10, 5, 40, 45], 85.5),
        row("crowd_2", 0, "happy", [2, 1, 20, 22], 30.0),
        row("crowd_2", 1, "neutral", [30, 3, 50, 24], 9.5),
    )
    report = counts(root)
    assert (report["found"]["rows"], report["found"]["pictures"]) == (3, 2)
    assert (
        report["official"]["rows"] == sum(n for e, n in report["official"].items() if e != "rows") == 91_793
    )


def test_faces_of_low_confidence_may_stay_unlabelled(root):
    rows = read(ExpwCorpus, root, least_confidence=30)
    assert [r.get("expression") for r in rows] == ["fear", "happy", None]


def test_the_folder_of_the_packed_pictures_is_found(root):
    (root / "image").rename(root / "origin")
    (root / "image").mkdir()
    (root / "origin").rename(root / "image" / "origin")
    rows = read(ExpwCorpus, root)
    assert [r["path"] for r in rows][:2] == ["image/origin/afraid_man_1.jpg", "image/origin/crowd_2.jpg"]
    assert [r["key"] for r in rows] == ["afraid_man_1-face0", "crowd_2-face0", "crowd_2-face1"]


def test_folders_may_have_other_names(root):
    (root / "image").rename(root / "origin")
    (root / LIST).rename(root / "label.lst")
    rows = read(ExpwCorpus, root, pictures="origin", labels="label.lst")
    assert [r["path"] for r in rows] == [
        "origin/afraid_man_1.jpg",
        "origin/crowd_2.jpg",
        "origin/crowd_2.jpg",
    ]


AFRAID, CROWD = "image/afraid_man_1.jpg", "image/crowd_2.jpg"


@pytest.mark.parametrize(
    "damage",
    [
        (
            lambda r: replace(r / LIST, "85.5 2", "85.5"),
            r"label.lst, line 1, .*afraid_man_1.jpg 0 5.*it must have name, face, top",
        ),
        (lambda r: replace(r / LIST, "85.5 2", "85.5 7"), r"label.lst, line 1, "),
        (lambda r: draw(r / "thumbnail.jpg"), r"does not fit: .*thumbnail.jpg"),
        (lambda r: cut(r / CROWD), {CROWD: "truncated"}),
        (lambda r: copy(r / AFRAID, r / CROWD), {CROWD: f"copy of {AFRAID}"}),
        (
            lambda r: replace(r / LIST, "crowd_2.jpg 1", "afraid_man_1.jpg 0"),
            {AFRAID: "listed again in line 3"},
        ),
        (
            lambda r: replace(r / LIST, "10 40 45", "40 10 45"),
            {AFRAID: "its box is empty: 40 to 10, 5 to 45"},
        ),
        (lambda r: (r / AFRAID).unlink(), {AFRAID: "missing"}),
        (
            lambda r: replace(r / LIST, "afraid_man_1.jpg", "../afraid_man_1.jpg"),
            {"image/../afraid_man_1.jpg": "missing"},
        ),
        (
            lambda r: (r / LIST).unlink(),
            r"lacks label/label.lst; put it there or name the list in corpora.mini.labels",
        ),
    ],
    ids=[
        "no label",
        "wrong code",
        "unknown",
        "truncated",
        "copy",
        "listed twice",
        "empty box",
        "missing",
        "outside",
        "no list",
    ],
)
def test_damage_is_answered(root, damage):
    answered(ExpwCorpus, root, damage)
