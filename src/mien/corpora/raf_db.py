"""RAF-DB, basic expressions (Li and Deng 2017): 12,271 pictures to train with, 3,068 to test.

Layout seen in public code (certainty A); it has not met the archive. Subjects are not known.
"""

import json
import re

from mien.config.corpora import RafDbCorpus
from mien.corpora.listed import Listed
from mien.corpora.official import Listing, Tree
from mien.corpora.rows import Row
from mien.manifest.expressions import RAF_DB as CODES

LABELS = "EmoLabel/list_patition_label.txt"  # the owner's spelling
MARKERS = (LABELS,)
LAYOUT = "EmoLabel/list_patition_label.txt and Image/aligned/*_aligned.jpg (or Image/original/*.jpg)"
TRAIN = (1290, 281, 717, 4772, 1982, 705, 2524)  # in the order of CODES
TEST = (329, 74, 160, 1185, 478, 162, 680)
NAME = re.compile(r"(train|test)_\d+\.jpg")
GENDERS = {0: "male", 1: "female", 2: None}
RACES = {0: "caucasian", 1: "african_american", 2: "asian"}
AGES = {0: "0-3", 1: "4-19", 2: "20-39", 3: "40-69", 4: "70+"}


def official(config: RafDbCorpus) -> dict[str, int]:
    """The owner's counts, of the expressions that are asked for."""
    counts = {"pictures": 12_271 + 3_068, "train": 12_271, "test": 3_068}
    for split, numbers in (("train", TRAIN), ("test", TEST)):
        of = dict(zip(CODES.values(), numbers, strict=True))
        counts |= {f"{split}/{e}": n for e, n in of.items() if e in config.expressions}
    return counts


def listing(tree: Tree, config: RafDbCorpus) -> Listing:
    """One row a line of the label list; a picture without a line becomes a reject."""
    label_of: dict[str, str] = {}
    for number, line in tree.lines(LABELS):
        name, _, code = line.partition(" ")
        if not NAME.fullmatch(name) or code not in CODES:
            raise tree.wrong(
                LABELS, number, f"is {line!r} and not like 'train_00001.jpg 5' with a code 1 to 7"
            )
        if name in label_of:
            raise tree.wrong(LABELS, number, f"names {name} a second time")
        label_of[name] = CODES[code]
    rows = Listed(_row(tree, name, expression, config) for name, expression in label_of.items())
    for path in sorted(_pictures(tree, config) - rows.paths()):
        # what is not even named like one of theirs is left for the shared check to refuse
        if NAME.fullmatch(path.rsplit("/", 1)[1].replace("_aligned", "")):
            rows.append({"path": path, "reject": f"not in {LABELS}"})
    other = "original" if config.pictures == "aligned" else "aligned"
    return Listing(rows, left_out={f for f in tree.files if f.startswith(f"Image/{other}/")})


def _pictures(tree: Tree, config: RafDbCorpus) -> set[str]:
    return {f for f in tree.files if f.startswith(f"Image/{config.pictures}/")}


def _row(tree: Tree, name: str, expression: str, config: RafDbCorpus) -> Row:
    stem = name.removesuffix(".jpg")
    aligned = config.pictures == "aligned"
    row: Row = {
        "path": f"Image/aligned/{stem}_aligned.jpg" if aligned else f"Image/original/{name}",
        "expression": expression,
        "split": name.split("_")[0],
    }
    box = f"Annotation/boundingbox/{stem}_boundingbox.txt"
    if box in tree.known and not aligned:
        row["box"] = tree.numbers(box, 4)
    manual = f"Annotation/manual/{stem}_manu_attri.txt"
    if manual in tree.known:
        row["attributes"] = json.dumps(_attributes(tree, manual, aligned), sort_keys=True)
    return row


def _attributes(tree: Tree, path: str, aligned: bool) -> dict[str, object]:
    """Five points (of the original picture), then codes of gender, race and age."""
    numbers = tree.numbers(path, 13)
    gender, race, age = (int(n) for n in numbers[10:])
    if gender not in GENDERS or race not in RACES or age not in AGES:
        raise tree.wrong(path, None, f"has an unknown gender, race or age: {gender}, {race}, {age}")
    known: dict[str, object] = {"gender": GENDERS[gender], "race": RACES[race], "age": AGES[age]}
    if not aligned:
        known["five"] = [numbers[k : k + 2] for k in range(0, 10, 2)]
    return known
