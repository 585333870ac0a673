import pytest

from mien.config.corpora import FergDbCorpus
from tests.corpora.trees import answered, copy, counts, cut, draw, expected, read

PICTURES = {
    "aia/aia_anger/aia_anger_1.png": "anger",
    "bonnie/bonnie_disgust/bonnie_disgust_4.png": "disgust",
    "jules/jules_fear/jules_fear_12.png": "fear",
    "malcolm/malcolm_joy/malcolm_joy_3.png": "happy",
    "mery/mery_neutral/mery_neutral_5.png": "neutral",
    "ray/ray_sadness/ray_sadness_6.png": "sad",
    "ray/ray_surprise/ray_surprise_7.png": "surprise",
}
AIA, RAY = (
    f"FERG_DB_256/{p}" for p in ("aia/aia_anger/aia_anger_1.png", "ray/ray_sadness/ray_sadness_6.png")
)


@pytest.fixture
def root(tmp_path):
    for path in PICTURES:
        draw(tmp_path / "ferg/FERG_DB_256" / path)
    return tmp_path / "ferg"


def test_the_layout_becomes_rows(root):
    rows = []
    for path, expression in PICTURES.items():
        key = f"ferg_db_256-{path[:-4].replace('/', '-')}"
        subject = path.split("/")[0]
        rows.append({"key": key, "path": f"FERG_DB_256/{path}", "expression": expression, "subject": subject})
    assert read(FergDbCorpus, root) == expected(*rows)
    assert counts(root)["official"] == {"pictures": 55_767, "people": 6}
    assert (counts(root)["found"]["pictures"], counts(root)["found"]["people"]) == (7, 6)


@pytest.mark.parametrize(
    "damage",
    [
        (
            lambda r: (r / AIA).rename(r / "FERG_DB_256/aia/aia_anger_1.png"),
            r"does not fit: .*aia/aia_anger_1.png",
        ),
        (
            lambda r: (r / AIA).parent.rename(r / "FERG_DB_256/aia/aia_rage"),
            r"is of 'aia', 'rage', which FERG-DB has not",
        ),
        (lambda r: draw(r / "FERG_DB_256/zoe/zoe_joy/1.png"), r"is of 'zoe', 'joy'"),
        (lambda r: draw(r / "cast.png"), r"not understood: cast.png"),
        (lambda r: cut(r / RAY), {RAY: "truncated"}),
        (lambda r: copy(r / AIA, r / RAY), {RAY: f"copy of {AIA}"}),
    ],
    ids=["no label", "wrong code", "no character", "unknown", "truncated", "copy"],
)
def test_damage_is_answered(root, damage):
    answered(FergDbCorpus, root, damage)
