"""ExpW, Expression in-the-Wild (Zhang et al. 2018): 91,793 faces in 106,962 pictures, several in one.

Layout of certainty B: it has not met the archive. Subjects are not known. Each face keeps its annotated box.
"""

import json
from collections import Counter

from mien.config import MienError
from mien.config.corpora import ExpwCorpus
from mien.corpora.listed import Listed
from mien.corpora.official import Listing, Tree
from mien.corpora.rows import Row
from mien.manifest.expressions import ANGER, DISGUST, FEAR, HAPPY, NEUTRAL, SAD, SURPRISE

PACKED = "origin"  # the folder in origin.7z.001 and its other volumes, as copies of the archive have it
MARKERS = ("image", "label", "label.lst")
COLUMNS = "name, face, top, left, right, bottom, confidence, expression 0 to 6"
LAYOUT = f"image/*.jpg (or image/origin/*.jpg) and label/label.lst ({COLUMNS})"
CODES = {"0": ANGER, "1": DISGUST, "2": FEAR, "3": HAPPY, "4": SAD, "5": SURPRISE, "6": NEUTRAL}
FACES = (3671, 3995, 1088, 30537, 10559, 7060, 34883)  # a third party's count, in the order of CODES


def official(config: ExpwCorpus) -> dict[str, int]:
    """Faces and, by a third party's count, faces of each expression."""
    of = {e: n for e, n in zip(CODES.values(), FACES, strict=True) if e in config.expressions}
    return {"rows": 91_793} | of


def listing(tree: Tree, config: ExpwCorpus) -> Listing:
    """One row a line of the list. Pictures without a line have no annotated face and are left out."""
    if config.labels not in tree.known:
        raise MienError(
            f"{tree.root} lacks {config.labels}; put it there or name the list in corpora.{tree.name}.labels."
        )
    pictures = config.pictures
    if any(path.startswith(f"{pictures}/{PACKED}/") for path in tree.files):
        pictures = f"{pictures}/{PACKED}"
    rows = Listed()
    seen: Counter[str] = Counter()
    for number, line in tree.lines(config.labels):
        row = _row(tree, number, line, config, pictures)
        seen[row["name"]] += 1
        if seen[row["name"]] > 1:
            row |= {"name": f"{row['name']}-line{number}", "reject": f"listed again in line {number}"}
        rows.append(row)
    named = rows.paths()
    return Listing(rows, left_out={f for f in tree.files if f.startswith(f"{pictures}/") and f not in named})


def _row(tree: Tree, number: int, line: str, config: ExpwCorpus, pictures: str) -> Row:
    words = line.split()
    try:
        name, face, *numbers, code = words
        top, left, right, bottom, confidence = (float(word) for word in numbers)
        known = {"confidence": confidence, "face": int(face)}
        expression = CODES[code]
    except (ValueError, KeyError) as error:
        raise tree.wrong(config.labels, number, f"is {line!r}; it must have {COLUMNS}") from error
    sound = right > left and bottom > top
    return {
        "path": f"{pictures}/{name}",
        "name": f"{name.rsplit('.', 1)[0]}-face{face}",
        "expression": expression if confidence >= config.least_confidence else None,
        "box": [left, top, right, bottom],
        "attributes": json.dumps(known, sort_keys=True),
        "reject": None if sound else f"its box is empty: {left:g} to {right:g}, {top:g} to {bottom:g}",
    }
