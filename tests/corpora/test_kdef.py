import pytest
from PIL import Image

from mien.config.corpora import KdefCorpus
from mien.corpora.kdef import official
from tests.corpora.trees import answered, copy, counts, cut, draw, expected, read, section

PICTURES = ["AF01AFFL", "AF01ANHL", "AF01DIS", "BF01HAHR", "BM35NEFR", "AM02SAS", "AM02SUS"]


def path(name: str) -> str:
    return f"KDEF/{name[:4]}/{name}.JPG"


@pytest.fixture
def root(tmp_path):
    for name in PICTURES:
        draw(tmp_path / "kdef" / path(name))
    return tmp_path / "kdef"


def row(name, expression, subject, view):
    key = path(name)[:-4].lower().replace("/", "-")
    attributes = f'{{"session": "{name[0]}"}}'
    row = {"key": key, "path": path(name), "expression": expression, "subject": subject, "view": view}
    return row | {"yaw": 0.0 if view == "straight" else None, "attributes": attributes}


def test_the_layout_becomes_rows(root):
    assert read(KdefCorpus, root) == expected(
        row("AF01AFFL", "fear", "F01", "full_left"),
        row("AF01ANHL", "anger", "F01", "half_left"),
        row("AF01DIS", "disgust", "F01", "straight"),
        row("BF01HAHR", "happy", "F01", "half_right"),  # session B shows the same person
        row("BM35NEFR", "neutral", "M35", "full_right"),
        row("AM02SAS", "sad", "M02", "straight"),
        row("AM02SUS", "surprise", "M02", "straight"),
    )


def test_only_the_views_that_are_asked_for(root):
    rows = read(KdefCorpus, root, views=["straight"])
    assert [r["path"] for r in rows] == [path(n) for n in ("AF01DIS", "AM02SAS", "AM02SUS")]
    assert official(section(KdefCorpus, root, views=["straight"]))["pictures"] == 980
    assert official(section(KdefCorpus, root))["pictures"] == 4_900
    assert counts(root)["found"]["people"] == 2


def test_black_and_misnamed_pictures_become_rejects(root):
    Image.new("RGB", (24, 24), (9, 9, 9)).save(root / path("AM02SAS"))
    draw(root / "KDEF/AF31/AF31V.JPG")
    draw(root / "KDEF/AM31/AM31H.JPG")
    rejects = {r["path"]: r["reject"] for r in read(KdefCorpus, root) if "reject" in r}
    assert rejects == {
        path("AM02SAS"): "black: its mean is 9.0",
        "KDEF/AF31/AF31V.JPG": "misnamed: no expression and view in its name",
        "KDEF/AM31/AM31H.JPG": "misnamed: no expression and view in its name",
    }


@pytest.mark.parametrize(
    "damage",
    [
        (
            lambda r: (r / path("AF01DIS")).rename(r / "KDEF/AF01/AF01.JPG"),
            {"KDEF/AF01/AF01.JPG": "misnamed"},
        ),
        (
            lambda r: (r / path("AF01DIS")).rename(r / "KDEF/AF01/AF01XXS.JPG"),
            {"KDEF/AF01/AF01XXS.JPG": "misnamed"},
        ),
        (
            lambda r: draw(r / "KDEF/extra/AF01DIS.JPG"),
            r"does not fit: .*not understood: KDEF/extra/AF01DIS.JPG",
        ),
        (lambda r: cut(r / path("AM02SUS")), {path("AM02SUS"): "truncated"}),
        (
            lambda r: copy(r / path("AF01AFFL"), r / path("AF01NES")),
            {path("AF01NES"): f"copy of {path('AF01AFFL')}"},
        ),
        (
            lambda r: (r / "KDEF").rename(r / "pictures"),
            r"lacks KDEF; it must hold KDEF/AF01/AF01AFS.JPG .*there are pictures/AF01",
        ),
    ],
    ids=["no label", "wrong code", "unknown", "truncated", "copy", "not KDEF"],
)
def test_damage_is_answered(root, damage):
    answered(KdefCorpus, root, damage)
