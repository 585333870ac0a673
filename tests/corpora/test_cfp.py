import json

import pytest

from mien.config.corpora import CfpCorpus
from tests.corpora.trees import answered, copy, counts, cut, draw, expected, read, write

FRONTAL, PROFILE = "Data/Images/001/frontal/01.jpg", "Data/Images/001/profile/04.jpg"


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "cfp"
    draw(root / FRONTAL, 24)
    draw(root / PROFILE, 26)
    draw(root / "Data/Images/500/frontal/10.jpg", 28)
    write(root / "Data/Fiducials/001/frontal/01.txt", "".join(f"{k}.5,{2 * k}\n" for k in range(30)))
    write(root / "Protocol/Pair_list_F.txt", "1 Data/Images/001/frontal/01.jpg\n")
    return root


def test_the_layout_becomes_rows(root):
    fiducials = json.dumps({"fiducials": [[k + 0.5, 2.0 * k] for k in range(30)]})
    assert read(CfpCorpus, root) == expected(
        {
            "key": "data-images-001-frontal-01",
            "path": FRONTAL,
            "subject": "001",
            "view": "frontal",
            "attributes": fiducials,
        },
        {"key": "data-images-001-profile-04", "path": PROFILE, "subject": "001", "view": "profile"},
        {
            "key": "data-images-500-frontal-10",
            "path": "Data/Images/500/frontal/10.jpg",
            "subject": "500",
            "view": "frontal",
        },
    )
    assert counts(root)["official"] == {"pictures": 7_000, "people": 500}


@pytest.mark.parametrize(
    "damage",
    [
        (lambda r: write(r / "Data/Fiducials/001/frontal/01.txt", ""), r"01.txt .*0 points instead of 30"),
        (
            lambda r: write(r / "Data/Fiducials/001/frontal/01.txt", "1;2\n"),
            r"01.txt, line 1, .*'1;2' and not 'x,y'",
        ),
        (
            lambda r: (r / FRONTAL).parent.rename(r / "Data/Images/001/front"),
            r"not understood: Data/Images/001/front/01.jpg",
        ),
        (lambda r: draw(r / "Data/Images/list.jpg"), r"not understood: Data/Images/list.jpg"),
        (lambda r: cut(r / PROFILE), {PROFILE: "truncated"}),
        (lambda r: copy(r / FRONTAL, r / PROFILE), {PROFILE: f"copy of {FRONTAL}"}),
        (lambda r: (r / "Data/Images").rename(r / "Data/Pictures"), r"lacks Data/Images; it must hold"),
    ],
    ids=["no label", "wrong points", "wrong view", "unknown", "truncated", "copy", "not CFP"],
)
def test_damage_is_answered(root, damage):
    answered(CfpCorpus, root, damage)
