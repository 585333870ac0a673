"""CMU Multi-PIE (Gross et al. 2010): 337 people in four sessions, 15 cameras, 19 flashes.

Layout of certainty B: it has not met the discs. The expression follows from session and recording.
"""

import json
import re

from mien.config.corpora import MultiPieCorpus
from mien.corpora.listed import Listed
from mien.corpora.official import Listing, Tree
from mien.manifest.expressions import DISGUST, HAPPY, NEUTRAL, SURPRISE

MARKERS = ("data/session01", "data/session02", "data/session03", "data/session04")
LAYOUT = (
    "data/session01/multiview/001/01/05_1/001_01_01_051_07.png (person, session, recording, camera, flash)"
)
SHOWN = {
    ("01", "01"): "neutral",
    ("01", "02"): "smile",
    ("02", "01"): "neutral",
    ("02", "02"): "surprise",
    ("02", "03"): "squint",
    ("03", "01"): "neutral",
    ("03", "02"): "smile",
    ("03", "03"): "disgust",
    ("04", "01"): "neutral",
    ("04", "02"): "scream",
    ("04", "03"): "neutral",
}
WORDS = {"neutral": NEUTRAL, "smile": HAPPY, "surprise": SURPRISE, "disgust": DISGUST}  # squint, scream: none
FRONTAL = "051"
PICTURE = re.compile(
    r"data/session(\d\d)/multiview/(\d{3})/(\d\d)/(\d\d)_(\d)/(\d{3})_(\d\d)_(\d\d)_(\d{3})_(\d\d)\.png"
)


def official(config: MultiPieCorpus) -> dict[str, int]:
    """337 people; counts of pictures are known for all cameras together only."""
    return {"people": 337}


def listing(tree: Tree, config: MultiPieCorpus) -> Listing:
    """The pictures of the chosen cameras and flashes. MienError: a name contradicts its folders."""
    rows = Listed()
    left_out = set()
    for path in tree.files:
        match = PICTURE.fullmatch(path)
        if match is None:
            continue
        folders = (match[2], match[1], match[3], match[4] + match[5])
        person, session, recording, camera, light = match.groups()[5:]
        if folders != (person, session, recording, camera):
            raise tree.wrong(path, None, "has a name that contradicts its folders")
        if (session, recording) not in SHOWN:
            raise tree.wrong(
                path, None, f"is recording {recording} of session {session}, which Multi-PIE has not"
            )
        if camera not in config.cameras or (config.lights is not None and light not in config.lights):
            left_out.add(path)
            continue
        shown = SHOWN[session, recording]
        known = {"shown": shown, "session": session, "recording": recording, "flash": light}
        rows.append(
            {
                "path": path,
                "expression": WORDS.get(shown),
                "subject": person,
                "view": "frontal" if camera == FRONTAL else f"camera_{camera}",
                "yaw": 0.0 if camera == FRONTAL else None,  # the others' sides are not certain
                "attributes": json.dumps(known, sort_keys=True),
            }
        )
    return Listing(rows, left_out=left_out)
