"""CK+, the extended Cohn-Kanade corpus (Lucey et al. 2010): sequences from neutral to the apex.

Layout of certainty B: it has not met the archives. Sequences without an emotion file stay unlabelled.
Settings of the papers, each with the last three frames: SNA the basic six `expressions`; IDFERM these and
contempt for seven classes, neutral too and `neutral_frames: 1` for eight.
"""

import re
from collections import defaultdict

import numpy as np

from mien.config.corpora import CkPlusCorpus
from mien.corpora.listed import Listed
from mien.corpora.official import Listing, Tree
from mien.corpora.rows import Row
from mien.corpora.sequences import label_frames
from mien.manifest.expressions import ANGER, CONTEMPT, DISGUST, FEAR, HAPPY, SAD, SURPRISE

MARKERS = ("Emotion",)
LAYOUT = (
    "cohn-kanade-images/S005/001/S005_001_00000001.png, Emotion/S005/001/S005_001_00000011_emotion.txt and, "
    "if there, Landmarks/S005/001/S005_001_00000001_landmarks.txt"
)
CODES = {1: ANGER, 2: CONTEMPT, 3: DISGUST, 4: FEAR, 5: HAPPY, 6: SAD, 7: SURPRISE}
SEQUENCES = (45, 18, 59, 25, 69, 28, 83)  # labelled, in the order of CODES
FRAME = re.compile(r"cohn-kanade-images/(S\d+)/(\d+)/\1_\2_(\d+)\.png", re.IGNORECASE)
EMOTION = re.compile(r"Emotion/(S\d+)/(\d+)/\1_\2_(\d+)_emotion\.txt")


def official(config: CkPlusCorpus) -> dict[str, int]:
    """593 sequences of 123 people; 327 of them are labelled, 309 without contempt."""
    counts = {"sequences": 593, "people": 123}
    of = {e: n for e, n in zip(CODES.values(), SEQUENCES, strict=True) if e in config.expressions}
    return counts | {"sequences/labelled": sum(of.values())} | {f"sequences/{e}": n for e, n in of.items()}


def listing(tree: Tree, config: CkPlusCorpus) -> Listing:
    """All frames. MienError: an emotion file is wrong, or not beside the last frame of a sequence."""
    frames: dict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
    for path in tree.files:
        if match := FRAME.fullmatch(path):
            frames[match[1], match[2]].append((int(match[3]), path))
    labels = _labels(tree, {place: max(found)[0] for place, found in frames.items()})
    rows = Listed()
    for place, found in frames.items():
        sequence = [_row(tree, *place, path) for _, path in sorted(found)]
        rows.extend(label_frames(sequence, labels.get(place), config))
    return Listing(rows)


def _labels(tree: Tree, last: dict[tuple[str, str], int]) -> dict[tuple[str, str], str]:
    labels: dict[tuple[str, str], str] = {}
    for path in tree.files:
        if not path.startswith("Emotion/"):
            continue
        match = EMOTION.fullmatch(path)
        if match is None:
            raise tree.wrong(path, None, "is not named like S005_001_00000011_emotion.txt")
        place = (match[1], match[2])
        if place in labels:
            raise tree.wrong(path, None, f"is a second label of sequence {place[0]}/{place[1]}")
        if last.get(place) != int(match[3]):
            raise tree.wrong(path, None, f"is not beside the last frame of {place[0]}/{place[1]}")
        code = tree.numbers(path, 1)[0]
        if code not in CODES:
            raise tree.wrong(path, None, f"holds the code {code:g}, which is none of 1 to 7")
        labels[place] = CODES[int(code)]
    return labels


def _row(tree: Tree, subject: str, number: str, path: str) -> Row:
    row: Row = {"path": path, "subject": subject, "sequence": f"{subject}-{number}", "view": "frontal"}
    landmarks = re.sub(r"^cohn-kanade-images/(.*)\.png$", r"Landmarks/\1_landmarks.txt", path, flags=re.I)
    if landmarks in tree.known:
        points = tree.numbers(landmarks, 136)
        corners = np.reshape(points, (68, 2))
        row |= {"points": points, "box": [*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist()]}
    return row
