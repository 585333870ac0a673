import json

import pytest

from mien.config.corpora import MultiPieCorpus
from tests.corpora.trees import answered, copy, counts, cut, draw, expected, read


def path(session: str, recording: str, camera: str = "051", flash: str = "07", person: str = "001") -> str:
    folder = f"data/session{session}/multiview/{person}/{recording}/{camera[:2]}_{camera[2]}"
    return f"{folder}/{person}_{session}_{recording}_{camera}_{flash}.png"


SHOWN = {
    ("01", "01"): ("neutral", "neutral"),
    ("01", "02"): ("smile", "happy"),
    ("02", "01"): ("neutral", "neutral"),
    ("02", "02"): ("surprise", "surprise"),
    ("02", "03"): ("squint", None),
    ("03", "01"): ("neutral", "neutral"),
    ("03", "02"): ("smile", "happy"),
    ("03", "03"): ("disgust", "disgust"),
    ("04", "01"): ("neutral", "neutral"),
    ("04", "02"): ("scream", None),
    ("04", "03"): ("neutral", "neutral"),
}


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "pie"
    for place in SHOWN:
        draw(root / path(*place))
    draw(root / path("01", "02", "041"))
    draw(root / path("01", "02", "190"))  # not asked for
    draw(root / path("01", "02", "051", "18"))
    return root


def row(session, recording, shown, expression, camera="051", flash="07"):
    place = path(session, recording, camera, flash)
    known = {"flash": flash, "recording": recording, "session": session, "shown": shown}
    row = {"key": place[:-4].replace("/", "-"), "path": place, "expression": expression, "subject": "001"}
    frontal = camera == "051"
    row |= {"view": "frontal" if frontal else f"camera_{camera}", "yaw": 0.0 if frontal else None}
    return row | {"attributes": json.dumps(known)}


def test_the_layout_becomes_rows(root):
    rows = [row(*place, shown, expression) for place, (shown, expression) in SHOWN.items()]
    rows += [row("01", "02", "smile", "happy", "041"), row("01", "02", "smile", "happy", "051", "18")]
    assert read(MultiPieCorpus, root) == expected(*rows)
    assert counts(root)["official"] == {"people": 337}


def test_only_the_cameras_and_flashes_that_are_asked_for(root):
    rows = read(MultiPieCorpus, root, cameras=["051", "190"], lights=["07"])
    assert len(rows) == 12
    assert "camera_190" in {r["view"] for r in rows}
    assert path("01", "02", "051", "18") not in {r["path"] for r in rows}


FIRST, SECOND = path("01", "01"), path("01", "02")


@pytest.mark.parametrize(
    "damage",
    [
        (
            lambda r: (r / FIRST).rename(r / FIRST.replace("051_07.png", "07.png")),
            r"does not fit: .*001_01_01_07.png",
        ),
        (lambda r: draw(r / path("01", "03")), r"001_01_03_051_07.png .*recording 03 of session 01"),
        (
            lambda r: (r / FIRST).rename(r / FIRST.replace("/001_", "/002_")),
            r"002_01_01_051_07.png .*contradicts its folders",
        ),
        (lambda r: draw(r / "data/session01/contact.png"), r"not understood: data/session01/contact.png"),
        (lambda r: cut(r / FIRST), {FIRST: "truncated"}),
        (lambda r: copy(r / FIRST, r / SECOND), {SECOND: f"copy of {FIRST}"}),
    ],
    ids=["no label", "wrong code", "other person", "unknown", "truncated", "copy"],
)
def test_damage_is_answered(root, damage):
    answered(MultiPieCorpus, root, damage)
