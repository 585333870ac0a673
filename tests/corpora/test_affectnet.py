import numpy as np
import pytest

from mien.config.corpora import AffectNetCorpus
from mien.corpora.affectnet import COLUMNS, official
from tests.corpora.trees import answered, copy, cut, draw, expected, read, replace, section, write

LISTS = "Manually_Annotated_file_lists"
IMAGES = "Manually_Annotated_Images"
POINTS = ";".join(str(k + 0.5) for k in range(136))
FACES = {  # codes 0 to 10 in the training list
    "1/aa.jpg": "neutral",
    "1/ab.jpg": "happy",
    "1/ac.jpg": "sad",
    "1/ad.jpg": "surprise",
    "1/ae.jpg": "fear",
    "1/af.jpg": "disgust",
    "2/ag.jpg": "anger",
    "2/ah.jpg": "contempt",
    "2/ai.jpg": None,
    "2/aj.jpg": None,
    "2/ak.jpg": None,
}


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "affectnet"
    lines = [f"{path},3,4,30,31,{POINTS},{code},-0.25,0.5" for code, path in enumerate(FACES)]
    lines[-1] = "2/ak.jpg,NULL,NULL,NULL,NULL,NULL,10,-2,-2"  # no face
    write(root / LISTS / "training.csv", "\n".join([",".join(COLUMNS), *lines, ""]))
    write(root / LISTS / "validation.csv", f"{','.join(COLUMNS)}\n9/zz.jpg,1,2,10,11,{POINTS},1,0,0\n")
    for path in (*FACES, "9/zz.jpg", "9/unlisted.jpg"):
        draw(root / IMAGES / path)
    return root


def row(path, expression, split, box, **known):
    row = {"key": f"{IMAGES}/{path}"[:-4].lower().replace("/", "-"), "path": f"{IMAGES}/{path}"}
    attributes = "{" + ", ".join(f'"{k}": {v}' for k, v in sorted(known.items())) + "}"
    row |= {"expression": expression, "split": split, "box": box, "points": [k + 0.5 for k in range(136)]}
    return row | {"attributes": attributes}


def test_the_lists_of_2017_become_rows(root, caplog):
    caplog.set_level("INFO")
    rows = []
    for path, expression in FACES.items():
        category = {"2/ai.jpg": '"none"', "2/aj.jpg": '"uncertain"'}.get(path)
        known = {"valence": -0.25, "arousal": 0.5} | ({"category": category} if category else {})
        rows.append(row(path, expression, "train", [3, 4, 33, 35], **known))
    assert "2/ak.jpg" in rows.pop()["path"]  # no face
    rows.append(row("9/zz.jpg", "happy", "validation", [1, 2, 11, 13], valence=0.0, arousal=0.0))
    assert read(AffectNetCorpus, root) == expected(*rows)
    assert "mini: 1 pictures marked as no face are left out" in caplog.text


def test_official_counts(root):
    seven = ["neutral", "happy", "sad", "surprise", "fear", "disgust", "anger"]
    wanted = official(section(AffectNetCorpus, root, expressions=seven))
    assert sum(n for what, n in wanted.items() if what.startswith("train/")) == 283_901
    assert sum(n for what, n in wanted.items() if what.startswith("validation/")) == 3_500


@pytest.fixture
def later(tmp_path):
    """The release of 2021."""
    root = tmp_path / "later"
    for folder, number, code in (("train_set", 0, 6), ("train_set", 17, 7), ("val_set", 5, 0)):
        draw(root / folder / f"images/{number}.jpg", 24 + number)
        annotations = root / folder / "annotations"
        annotations.mkdir(exist_ok=True)
        np.save(annotations / f"{number}_exp.npy", np.array(str(code)))
        np.save(annotations / f"{number}_val.npy", np.array("0.5"))
        np.save(annotations / f"{number}_aro.npy", np.array("-0.5"))
        np.save(annotations / f"{number}_lnd.npy", np.arange(136, dtype=np.float64).reshape(68, 2))
    return root


def test_the_arrays_of_2021_become_rows(later):
    about = {"points": [float(k) for k in range(136)], "attributes": '{"arousal": -0.5, "valence": 0.5}'}
    assert read(AffectNetCorpus, later) == expected(
        {
            "key": "train_set-images-0",
            "path": "train_set/images/0.jpg",
            "expression": "anger",
            "split": "train",
        }
        | about,
        {
            "key": "train_set-images-17",
            "path": "train_set/images/17.jpg",
            "expression": "contempt",
            "split": "train",
        }
        | about,
        {
            "key": "val_set-images-5",
            "path": "val_set/images/5.jpg",
            "expression": "neutral",
            "split": "validation",
        }
        | about,
    )


AB, AC = f"{IMAGES}/1/ab.jpg", f"{IMAGES}/1/ac.jpg"
TRAINING = f"{LISTS}/training.csv"


@pytest.mark.parametrize(
    "damage",
    [
        (
            lambda r: replace(
                r / TRAINING, f"1/ab.jpg,3,4,30,31,{POINTS},1,", f"1/ab.jpg,3,4,30,31,{POINTS},,"
            ),
            r"training.csv, line 3, .*no number",
        ),
        (
            lambda r: replace(r / TRAINING, f"{POINTS},1,", f"{POINTS},11,"),
            r"training.csv, line 3, .*expression 11, which is none of 0 to 10",
        ),
        (lambda r: draw(r / "poster.jpg"), r"not understood: poster.jpg"),
        (lambda r: cut(r / AB), {AB: "truncated"}),
        (lambda r: copy(r / AB, r / AC), {AC: f"copy of {AB}"}),
        (
            lambda r: replace(r / TRAINING, "1/ac.jpg", "1/ab.jpg"),
            {AB: "listed again in"},
        ),
        (lambda r: replace(r / TRAINING, ";135.5", ""), r"line 2, .*67.5 landmarks instead of 68"),
        (lambda r: (r / TRAINING).unlink(), r"training.csv .*cannot be read"),
    ],
    ids=["no label", "wrong code", "unknown", "truncated", "copy", "listed twice", "points", "no list"],
)
def test_damage_of_2017_is_answered(root, damage):
    answered(AffectNetCorpus, root, damage)


PICTURE, LABEL = "train_set/images/17.jpg", "train_set/annotations/17_exp.npy"


@pytest.mark.parametrize(
    "damage",
    [
        (lambda r: (r / LABEL).unlink(), {PICTURE: "no train_set/annotations/17_exp.npy"}),
        (lambda r: np.save(r / LABEL, np.array("12")), r"17_exp.npy .*expression 12"),
        (
            lambda r: np.save(r / LABEL, np.array([{"a": 1}], dtype=object), allow_pickle=True),
            r"17_exp.npy .*no array of numbers",
        ),
        (lambda r: draw(r / "val_set/images/face.jpg"), r"not understood: val_set/images/face.jpg"),
        (lambda r: cut(r / PICTURE), {PICTURE: "truncated"}),
        (lambda r: cut(r / LABEL), r"17_exp.npy .*no array of numbers"),
        (
            lambda r: copy(r / PICTURE, r / "val_set/images/5.jpg"),
            {"val_set/images/5.jpg": f"copy of {PICTURE}"},
        ),
    ],
    ids=["no label", "wrong code", "pickle", "unknown", "truncated", "truncated label", "copy"],
)
def test_damage_of_2021_is_answered(later, damage):
    answered(AffectNetCorpus, later, damage)
