import pytest

from mien.config.corpora import OuluCasiaCorpus
from mien.corpora.oulu_casia import official
from tests.corpora.trees import answered, copy, cut, draw, expected, read, section


def frame(number: int, word: str, person: str = "P001", where: str = "OriginalImg/VL/Strong") -> str:
    return f"{where}/{person}/{word}/{number:03d}.jpeg"


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "oulu"
    for number in range(4):
        draw(root / frame(number, "Anger"))
    for word in ("Disgust", "Fear", "Happiness", "Sadness", "Surprise"):
        draw(root / frame(0, word, "P080"))
    draw(root / frame(0, "Anger", where="OriginalImg/NI/Dark"), 40)
    draw(root / frame(0, "Anger", where="OriginalImg/VL/Weak"), 50)
    return root


def row(number, word, expression, person, frames, where="OriginalImg/VL/Strong"):
    path = frame(number, word, person, where)
    row = {
        "key": path[:-5].lower().replace("/", "-"),
        "path": path,
        "expression": expression,
        "subject": person,
    }
    _, camera, light = where.lower().split("/")
    row |= {"sequence": f"{person}-{word}-{camera}-{light}".lower(), "frame": number, "frames": frames}
    return row | {"view": "frontal"}


def test_the_layout_becomes_rows(root):
    words = {
        "Disgust": "disgust",
        "Fear": "fear",
        "Happiness": "happy",
        "Sadness": "sad",
        "Surprise": "surprise",
    }
    assert read(OuluCasiaCorpus, root) == expected(
        *(row(k, "Anger", None if k == 0 else "anger", "P001", 4) for k in range(4)),
        *(row(0, word, expression, "P080", 1) for word, expression in words.items()),
    )


def test_other_cameras_and_lights(root):
    rows = read(OuluCasiaCorpus, root, cameras=["NI", "VL"], lights=["Dark", "Weak"])
    assert rows == expected(
        row(0, "Anger", "anger", "P001", 1, "OriginalImg/NI/Dark"),
        row(0, "Anger", "anger", "P001", 1, "OriginalImg/VL/Weak"),
    )


def test_the_folder_of_the_cropped_release(root):
    rename = (
        lambda r: (r / "OriginalImg").rename(r / "Cropped"),
        r"not understood: Cropped/NI/Dark/P001/Anger/000.jpeg, Cropped/VL",
    )
    answered(OuluCasiaCorpus, root, rename)
    assert len(read(OuluCasiaCorpus, root, folder="Cropped")) == 9


def test_official_counts(root):
    strong = official(section(OuluCasiaCorpus, root))
    assert (strong["people"], strong["sequences"], strong["sequences/fear"]) == (80, 480, 80)
    every = official(section(OuluCasiaCorpus, root, cameras=["VL", "NI"], lights=["Strong", "Weak", "Dark"]))
    assert every["sequences"] == 2_880


FEAR = frame(0, "Fear", "P080")


@pytest.mark.parametrize(
    "damage",
    [
        (
            lambda r: (r / FEAR).rename(r / "OriginalImg/VL/Strong/P080/000.jpeg"),
            r"does not fit: .*P080/000.jpeg",
        ),
        (
            lambda r: (r / FEAR).parent.rename(r / "OriginalImg/VL/Strong/P080/Afraid"),
            r"is below 'Afraid', which is none of Anger",
        ),
        (lambda r: draw(r / "preview.jpeg"), r"not understood: preview.jpeg"),
        (lambda r: cut(r / FEAR), {FEAR: "truncated"}),
        (lambda r: copy(r / frame(0, "Anger"), r / FEAR), {FEAR: f"copy of {frame(0, 'Anger')}"}),
    ],
    ids=["no label", "wrong code", "unknown", "truncated", "copy"],
)
def test_damage_is_answered(root, damage):
    answered(OuluCasiaCorpus, root, damage)
