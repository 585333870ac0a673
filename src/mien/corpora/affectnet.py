"""AffectNet (Mollahosseini et al. 2019): the release of 2017 with lists, or of 2021 with one .npy a value.

Layouts of certainty B: they have not met the archives. Subjects are not known. Pictures marked as none or
uncertain stay unlabelled; those marked as no face are left out.
"""

import json
import logging
import re
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from mien.config.corpora import AffectNetCorpus
from mien.corpora.listed import Listed
from mien.corpora.official import Listing, Tree
from mien.corpora.rows import Row
from mien.manifest.expressions import ANGER, CONTEMPT, DISGUST, FEAR, HAPPY, NEUTRAL, SAD, SURPRISE

LISTS = {
    "train": "Manually_Annotated_file_lists/training.csv",
    "validation": "Manually_Annotated_file_lists/validation.csv",
}
MARKERS = ("Manually_Annotated_file_lists", "train_set")
LAYOUT = (
    "Manually_Annotated_file_lists/{training,validation}.csv with Manually_Annotated_Images/ (2017), or "
    "{train,val}_set/images/N.jpg with {train,val}_set/annotations/N_exp.npy (2021)"
)
CODES = (NEUTRAL, HAPPY, SAD, SURPRISE, FEAR, DISGUST, ANGER, CONTEMPT)
NO_EXPRESSION = ("none", "uncertain", "non-face")  # codes 8 to 10
NON_FACE = "10"
TRAIN = (74_874, 134_415, 25_459, 14_090, 6_378, 3_803, 24_882)  # of the first seven codes
VALIDATION = 500  # of each
COLUMNS = (
    "subDirectory_filePath",
    "face_x",
    "face_y",
    "face_width",
    "face_height",
    "facial_landmarks",
    "expression",
    "valence",
    "arousal",
)
PICTURE = re.compile(r"(train|val)_set/images/(\d+)\.(?:jpg|png)")


log = logging.getLogger(__name__)


def official(config: AffectNetCorpus) -> dict[str, int]:
    """Pictures of the seven expressions that the papers train with."""
    counts: dict[str, int] = {}
    for expression, number in zip(CODES, TRAIN, strict=False):
        if expression in config.expressions:
            counts |= {f"train/{expression}": number, f"validation/{expression}": VALIDATION}
    return counts


def listing(tree: Tree, config: AffectNetCorpus) -> Listing:
    """One row a line of the lists, or a picture of the later release."""
    if any(path.startswith("train_set/") for path in tree.files):
        return _without_faceless(tree, (_of_2021(tree, f) for f in tree.files if PICTURE.fullmatch(f)), set())
    # the release comes with pictures that only machines annotated
    below = {f for f in tree.files if f.startswith(f"{config.pictures}/")}
    return _without_faceless(tree, _of_lists(tree, config), below)


def _of_lists(tree: Tree, config: AffectNetCorpus) -> Iterator[Row]:
    seen: set[str] = set()
    for split, path in LISTS.items():
        for line, entry in enumerate(tree.table(path, COLUMNS), 2):
            row = {"split": split, **_of_2017(tree, path, line, entry, config)}
            if row["path"] in seen:
                row |= {"name": f"{row['path']}-{split}-line{line}", "reject": f"listed again in {path}"}
            seen.add(row["path"])
            yield row


def _without_faceless(tree: Tree, rows: Iterable[Row], unlisted: set[str]) -> Listing:
    """A fifth of the lists is marked as no face: as rejects they would drown those that tell of trouble."""
    listed, faceless = Listed(), set()
    for row in rows:
        if row.pop("faceless", False):
            faceless.add(row["path"])
        else:
            listed.append(row)
    if faceless:
        log.info("%s: %d pictures marked as no face are left out", tree.name, len(faceless))
    return Listing(listed.without(faceless), left_out=unlisted - listed.paths() | faceless)


def _of_2017(tree: Tree, path: str, line: int, entry: dict[str, str], config: AffectNetCorpus) -> Row:
    place = f"{config.pictures}/{entry['subDirectory_filePath']}"
    if entry["expression"].strip() == NON_FACE:
        return {"path": place, "faceless": True}  # its box and points need not be any
    try:
        x, y, width, height = (float(entry[column]) for column in COLUMNS[1:5])
        points = [float(word) for word in entry["facial_landmarks"].split(";")]
        values = {"valence": float(entry["valence"]), "arousal": float(entry["arousal"])}
        code = int(entry["expression"])
    except ValueError as error:
        raise tree.wrong(path, line, f"holds something that is no number ({error})") from error
    if len(points) != 136:
        raise tree.wrong(path, line, f"holds {len(points) / 2:g} landmarks instead of 68")
    row = _labelled(tree, path, line, code, values)
    return {**row, "path": place, "box": [x, y, x + width, y + height], "points": points}


def _of_2021(tree: Tree, path: str) -> Row:
    folder, number = path.split("/")[0], path.rsplit("/", 1)[1].split(".")[0]
    stem = f"{folder}/annotations/{number}"
    split = {"train_set": "train", "val_set": "validation"}[folder]
    if f"{stem}_exp.npy" not in tree.known:
        return {"path": path, "split": split, "reject": f"no {stem}_exp.npy"}
    code = int(_array(tree, f"{stem}_exp.npy", 1)[0])
    values = {
        word: float(_array(tree, f"{stem}_{short}.npy", 1)[0])
        for word, short in (("valence", "val"), ("arousal", "aro"))
        if f"{stem}_{short}.npy" in tree.known
    }
    row = {"path": path, "split": split, **_labelled(tree, f"{stem}_exp.npy", None, code, values)}
    if f"{stem}_lnd.npy" in tree.known:
        row["points"] = _array(tree, f"{stem}_lnd.npy", 136)
    return row


def _array(tree: Tree, path: str, count: int) -> list[float]:
    """The numbers of a .npy file, which the owner keeps as numbers or as text."""
    tree.used.add(path)
    try:
        values = np.load(tree.root / path, allow_pickle=False).reshape(-1).astype(np.float64)
    except (OSError, ValueError, EOFError) as error:
        raise tree.wrong(path, None, f"is no array of numbers ({error})") from error
    if len(values) != count:
        raise tree.wrong(path, None, f"holds {len(values)} numbers instead of {count}")
    return [float(value) for value in values]


def _labelled(tree: Tree, path: str, line: int | None, code: int, values: dict[str, Any]) -> Row:
    if not 0 <= code < len(CODES) + len(NO_EXPRESSION):
        raise tree.wrong(path, line, f"has the expression {code}, which is none of 0 to 10")
    if code < len(CODES):
        return {"expression": CODES[code], "attributes": json.dumps(values, sort_keys=True)}
    word = NO_EXPRESSION[code - len(CODES)]
    return {
        "attributes": json.dumps(values | {"category": word}, sort_keys=True),
        "faceless": word == "non-face",
    }
