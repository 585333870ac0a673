"""RaFD, the Radboud Faces Database (Langner et al. 2010): 67 people, 8 expressions, 3 gazes, 5 cameras.

Layout of certainty B: it has not met the archive.
"""

import json
import re

from mien.config.corpora import RafdCorpus
from mien.corpora.listed import Listed
from mien.corpora.official import Listing, Tree
from mien.manifest.expressions import ANGER, CONTEMPT, DISGUST, FEAR, HAPPY, NEUTRAL, SAD, SURPRISE

MARKERS = ("",)  # the pictures lie at any depth
LAYOUT = "Rafd090_01_Caucasian_female_angry_frontal.jpg (camera, person, group, sex, expression, gaze)"
WORDS = {
    "angry": ANGER,
    "contemptuous": CONTEMPT,
    "disgusted": DISGUST,
    "fearful": FEAR,
    "happy": HAPPY,
    "neutral": NEUTRAL,
    "sad": SAD,
    "surprised": SURPRISE,
}
PEOPLE, GAZES = 67, 3  # numbers 1 to 73, of which six are not used
NOBODY = {6, 13, 17, 34, 62, 66}
FRONTAL = 90
NAME = re.compile(
    r"Rafd(000|045|090|135|180)_(\d\d)_(Caucasian|Moroccan|Kid)_(male|female)_([a-z]+)_(left|frontal|right)\.jpg",
    re.IGNORECASE,
)


def official(config: RafdCorpus) -> dict[str, int]:
    """8,040 pictures of 67 people, 1,005 an expression; 1,608 of one camera."""
    each = PEOPLE * GAZES * len(config.cameras)
    of = {e: each for e in WORDS.values() if e in config.expressions}
    return {"pictures": each * len(WORDS), "people": PEOPLE} | of


def listing(tree: Tree, config: RafdCorpus) -> Listing:
    """The pictures of the cameras that are asked for. MienError: an unknown person or expression."""
    rows = Listed()
    left_out = set()
    for path in tree.files:
        match = NAME.fullmatch(path.rsplit("/", 1)[-1])
        if match is None:
            continue
        camera, person, word = int(match[1]), int(match[2]), match[5].lower()
        if word not in WORDS or not 1 <= person <= 73 or person in NOBODY:
            raise tree.wrong(path, None, "has an expression or a person in its name that RaFD has not")
        if camera not in config.cameras:
            left_out.add(path)
            continue
        known = {"group": match[3].lower(), "gender": match[4].lower(), "gaze": match[6].lower()}
        rows.append(
            {
                "path": path,
                "expression": WORDS[word],
                "subject": match[2],
                "view": "frontal" if camera == FRONTAL else f"camera_{match[1]}",
                "yaw": 0.0 if camera == FRONTAL else None,  # on which side 0 degrees is, is not certain
                "attributes": json.dumps(known, sort_keys=True),
            }
        )
    return Listing(rows, left_out=left_out)
