import pytest

from mien.config.corpora import RafdCorpus
from mien.corpora.rafd import official
from tests.corpora.trees import answered, copy, cut, draw, expected, read, section

PICTURES = {
    "Rafd000_01_Caucasian_female_angry_left": ("anger", "01", "camera_000", "caucasian", "female", "left"),
    "Rafd045_07_Moroccan_male_contemptuous_frontal": (
        "contempt",
        "07",
        "camera_045",
        "moroccan",
        "male",
        "frontal",
    ),
    "Rafd090_40_Kid_female_disgusted_right": ("disgust", "40", "frontal", "kid", "female", "right"),
    "Rafd090_40_Kid_female_fearful_frontal": ("fear", "40", "frontal", "kid", "female", "frontal"),
    "Rafd090_73_Caucasian_male_happy_frontal": ("happy", "73", "frontal", "caucasian", "male", "frontal"),
    "Rafd135_73_Caucasian_male_neutral_frontal": (
        "neutral",
        "73",
        "camera_135",
        "caucasian",
        "male",
        "frontal",
    ),
    "Rafd180_73_Caucasian_male_sad_frontal": ("sad", "73", "camera_180", "caucasian", "male", "frontal"),
    "Rafd180_73_Caucasian_male_surprised_frontal": (
        "surprise",
        "73",
        "camera_180",
        "caucasian",
        "male",
        "frontal",
    ),
}
FIRST, LAST = f"{next(iter(PICTURES))}.jpg", f"{list(PICTURES)[-1]}.jpg"


@pytest.fixture
def root(tmp_path):
    for name in PICTURES:
        draw(tmp_path / "rafd" / f"{name}.jpg")
    return tmp_path / "rafd"


def test_the_layout_becomes_rows(root):
    rows = []
    for name, (expression, subject, view, group, gender, gaze) in PICTURES.items():
        attributes = f'{{"gaze": "{gaze}", "gender": "{gender}", "group": "{group}"}}'
        row = {"key": name.lower(), "path": f"{name}.jpg", "expression": expression, "subject": subject}
        row |= {"view": view, "yaw": 0.0 if view == "frontal" else None, "attributes": attributes}
        rows.append(row)
    assert read(RafdCorpus, root) == expected(*rows)


def test_only_the_cameras_that_are_asked_for(root):
    assert [r["view"] for r in read(RafdCorpus, root, cameras=[90])] == ["frontal"] * 3
    assert official(section(RafdCorpus, root, cameras=[90]))["pictures"] == 1_608
    assert official(section(RafdCorpus, root)) | {
        "pictures": 8_040,
        "people": 67,
        "contempt": 1_005,
    } == official(section(RafdCorpus, root))


@pytest.mark.parametrize(
    "damage",
    [
        (
            lambda r: (r / FIRST).rename(r / "Rafd000_01_Caucasian_female_left.jpg"),
            r"does not fit: .*Rafd000_01_Caucasian_female_left.jpg",
        ),
        (
            lambda r: (r / FIRST).rename(r / FIRST.replace("angry", "grumpy")),
            r"female_grumpy_left.jpg .*RaFD has not",
        ),
        (
            lambda r: (r / FIRST).rename(r / FIRST.replace("_01_", "_06_")),
            r"Rafd000_06_.*RaFD has not",
        ),  # nobody has 06
        (lambda r: draw(r / "cover.png"), r"not understood: cover.png"),
        (lambda r: cut(r / LAST), {LAST: "truncated"}),
        (lambda r: copy(r / FIRST, r / LAST), {LAST: f"copy of {FIRST}"}),
        (lambda r: [p.unlink() for p in r.iterdir()], r"does not fit: .*not understood: no files"),
    ],
    ids=["no label", "wrong code", "nobody", "unknown", "truncated", "copy", "empty"],
)
def test_damage_is_answered(root, damage):
    answered(RafdCorpus, root, damage)
