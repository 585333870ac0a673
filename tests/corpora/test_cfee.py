import pytest

from mien.config.corpora import CfeeCorpus
from mien.corpora.cfee import official
from tests.corpora.trees import answered, copy, cut, draw, expected, read, section


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "cfee"
    for category in ("neutral", "happy", "happily_surprised"):
        draw(root / category / f"person_012_{category}.jpg")
    draw(root / "angry/013.jpg")
    return root


def row(category, name, subject, expression):
    path = f"{category}/{name}.jpg"
    return {"key": f"{category}-{name}", "path": path, "subject": subject, "expression": expression}


def test_the_layout_becomes_rows(root):
    assert read(CfeeCorpus, root) == expected(
        row("neutral", "person_012_neutral", "012", "neutral"),
        row("happy", "person_012_happy", "012", "happy"),
        row("happily_surprised", "person_012_happily_surprised", "012", None),  # compound
        row("angry", "013", "013", "anger"),
    )
    wanted = official(section(CfeeCorpus, root))
    assert sum(n for what, n in wanted.items() if what != "people") == 1_610


def test_another_layout_is_a_setting(root):
    other = root.parent / "other"
    draw(other / "pictures/0007_C.png")
    rows = read(
        CfeeCorpus, other, pattern=r"(?P<subject>\d{4})_(?P<category>[A-V])\.png$", categories={"C": "sad"}
    )
    key = {"key": "pictures-0007_c", "path": "pictures/0007_C.png"}
    assert rows == [key | {"subject": "0007", "expression": "sad"}]


HAPPY, ANGRY = "happy/person_012_happy.jpg", "angry/013.jpg"


@pytest.mark.parametrize(
    "damage",
    [
        (lambda r: (r / ANGRY).rename(r / "013.jpg"), r"does not fit: .*not understood: 013.jpg"),
        (
            lambda r: [(r / c).rename(r / f"x{c}") for c in ("neutral", "happy", "angry")],
            r"categories names none of .*there: happily_surprised, xangry",
        ),
        (lambda r: draw(r / "happy/cover.jpg"), r"not understood: happy/cover.jpg"),
        (lambda r: cut(r / ANGRY), {ANGRY: "truncated"}),
        (lambda r: copy(r / HAPPY, r / ANGRY), {HAPPY: f"copy of {ANGRY}"}),
        (lambda r: draw(r / "happy/zz_012.jpg"), {"happy/zz_012.jpg": "second picture of 012 in happy"}),
    ],
    ids=["no label", "wrong code", "unknown", "truncated", "copy", "person twice"],
)
def test_damage_is_answered(root, damage):
    answered(CfeeCorpus, root, damage)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [("(", "is not a regular expression"), (r"(?P<subject>\d+)", r"lacks the group \(\?P<category>")],
)
def test_a_wrong_pattern_is_named(root, pattern, words):
    answered(CfeeCorpus, root, (lambda r: None, rf"corpora.mini.pattern {words}"), pattern=pattern)
