"""FERPlus (Barsoum et al. 2016): FER2013's 48x48 pixels in a CSV, ten votes a face in another.

The two files go together row by row: image names drift from row numbers after the first empty name, and some
occur twice. Equal pictures stay, since FER2013 has many and the published counts include them.
"""

import io
import json
from collections.abc import Iterator

import numpy as np
from PIL import Image

from mien.config import MienError
from mien.config.corpora import FerPlusCorpus
from mien.corpora.official import Listing, Tree
from mien.corpora.rows import Row
from mien.manifest.expressions import (
    ANGER,
    CONTEMPT,
    DISGUST,
    EXPRESSIONS,
    FEAR,
    HAPPY,
    NEUTRAL,
    SAD,
    SURPRISE,
)

PIXELS = "fer2013.csv"
MARKERS = (PIXELS,)
LAYOUT = "fer2013.csv (emotion, pixels, Usage) and fer2013new.csv (Usage, Image name, ten votes)"
VOTES = "fer2013new.csv"
# the votes' columns, in their order in the file
COLUMNS = {
    "neutral": NEUTRAL,
    "happiness": HAPPY,
    "surprise": SURPRISE,
    "sadness": SAD,
    "anger": ANGER,
    "disgust": DISGUST,
    "fear": FEAR,
    "contempt": CONTEMPT,
}
NO_EMOTION = ("unknown", "NF")  # NF: not a face
SPLITS = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}
ROWS = {"train": 28_709, "validation": 3_589, "test": 3_589}
SIDE_PX = 48
# labelled rows of the public vote file under each rule: Training, PublicTest, PrivateTest
LABELLED = {
    "majority": (25_060, 3_199, 3_153),
    "argmax10": (28_389, 3_553, 3_546),
    "argmax8": (28_559, 3_579, 3_573),
}
MAJORITY_TRAIN = (8740, 7287, 3149, 3014, 2100, 119, 532, 119)  # per class, in the order of COLUMNS
MAJORITY_TEST = (1090, 893, 396, 384, 273, 18, 83, 16)


def official(config: FerPlusCorpus) -> dict[str, int]:
    """Rows of each part; for the majority rule the rows of each class too."""
    train, validation, test = ROWS.values()
    counts = {"rows": train + validation + test, "train": train, "validation": validation, "test": test}
    if config.validation_joins_train:
        counts |= {"train": train + validation, "validation": 0}
    if set(config.expressions) == set(EXPRESSIONS):
        of_train, of_validation, of_test = LABELLED[config.rule]
        if config.validation_joins_train:
            of_train, of_validation = of_train + of_validation, 0
        counts |= {"train/labelled": of_train, "validation/labelled": of_validation, "test/labelled": of_test}
    if config.rule == "majority":
        parts = {"test": MAJORITY_TEST} | ({} if config.validation_joins_train else {"train": MAJORITY_TRAIN})
        for split, numbers in parts.items():
            of = dict(zip(COLUMNS.values(), numbers, strict=True))
            counts |= {f"{split}/{e}": n for e, n in of.items() if e in config.expressions}
    return counts


def listing(tree: Tree, config: FerPlusCorpus) -> Listing:
    """One picture a row of fer2013.csv. MienError: the two files do not go together."""
    if VOTES not in tree.known:
        raise MienError(
            f"{tree.root} of corpora.{tree.name} lacks {VOTES}; put FER+'s vote file beside {PIXELS}."
        )
    # read twice, as a row has 8 kB: once to be counted, once to become pictures
    faces, votes = (sum(1 for _ in table) for table in _tables(tree))
    if faces != votes:
        raise MienError(
            f"corpora.{tree.name}: {PIXELS} has {faces} rows and {VOTES} {votes}; "
            "they go together row by row, so take both whole."
        )
    return Listing(made=_pictures(tree, config), made_count=faces)


def _tables(tree: Tree) -> tuple[Iterator[dict[str, str]], Iterator[dict[str, str]]]:
    faces = tree.table(PIXELS, ("emotion", "pixels", "Usage"))
    return faces, tree.table(VOTES, ("Usage", "Image name", *COLUMNS, *NO_EMOTION))


def _pictures(tree: Tree, config: FerPlusCorpus) -> Iterator[tuple[Row, bytes]]:
    for number, (face, vote) in enumerate(zip(*_tables(tree), strict=True)):
        line = number + 2  # of the file: a header comes first
        if face["Usage"] not in SPLITS or face["Usage"] != vote["Usage"]:
            why = f"has Usage {vote['Usage']!r}, but {PIXELS} has {face['Usage']!r} there"
            raise tree.wrong(VOTES, line, why)
        if face["emotion"] not in set("0123456"):
            raise tree.wrong(PIXELS, line, f"has the emotion {face['emotion']!r}, which is none of 0 to 6")
        counts = _counts(tree, line, vote)
        row = _row(number, face, vote, counts, config)
        data, reason = encoded(face["pixels"])
        yield row | {"path": PIXELS, "reject": row["reject"] or reason}, data


def _counts(tree: Tree, line: int, vote: dict[str, str]) -> list[int]:
    words = [vote[column].strip() for column in (*COLUMNS, *NO_EMOTION)]
    if not all(word.isdigit() for word in words):
        raise tree.wrong(VOTES, line, f"has votes that are no numbers: {', '.join(words)}")
    return [int(word) for word in words]


def _row(
    number: int, face: dict[str, str], vote: dict[str, str], counts: list[int], config: FerPlusCorpus
) -> Row:
    of = dict(zip(COLUMNS.values(), counts, strict=False))
    split = SPLITS[face["Usage"]]
    if split == "validation" and config.validation_joins_train:
        split = "train"
    known = {"fer2013": int(face["emotion"]), "image": vote["Image name"]}
    known |= dict(zip(NO_EMOTION, counts[len(COLUMNS) :], strict=True))
    return {
        "name": f"fer2013-{number:05d}",
        "expression": winner(counts, config.rule),
        "votes": [float(of[e]) for e in EXPRESSIONS],
        "split": split,
        "attributes": json.dumps(known, sort_keys=True),
        "reject": None if vote["Image name"].strip() else "not a face: its image name is empty",
    }


def winner(counts: list[int], rule: str) -> str | None:
    """The expression that ten vote counts (in the file's order) give, or None.

    majority: single votes are dropped; the winner of all ten must have more than half of the rest and be an
    expression. argmax10: the first highest of ten, if an expression. argmax8: the first highest of eight.
    """
    expressions = list(COLUMNS.values())
    if rule == "argmax8":
        counts = counts[: len(expressions)]
        return expressions[counts.index(max(counts))] if max(counts) > 0 else None
    if rule == "majority":
        counts = [0 if count <= 1 else count for count in counts]
        if 2 * max(counts) <= sum(counts):
            return None
    best = counts.index(max(counts))
    return expressions[best] if best < len(expressions) else None


def encoded(text: str) -> tuple[bytes, str | None]:
    """PNG of 48x48 grey values given as text, or no bytes and why not."""
    words = text.split()
    if len(words) != SIDE_PX**2:
        return b"", f"truncated: {len(words)} of {SIDE_PX**2} pixels"
    try:
        values = np.array([int(word) for word in words])
    except ValueError:
        return b"", "damaged: a pixel is no number"
    if values.min() < 0 or values.max() > 255:
        return b"", "damaged: a pixel is not within 0 and 255"
    buffer = io.BytesIO()
    Image.fromarray(values.astype(np.uint8).reshape(SIDE_PX, SIDE_PX)).save(buffer, "PNG")
    return buffer.getvalue(), None
