"""KDEF, the Karolinska Directed Emotional Faces (Lundqvist et al. 1998): 70 people, 7 expressions, 5 views.

Layout of certainty B: it has not met the archive. Each was taken twice: sessions A and B of one
number show the same person. Some released files are misnamed (AF31V) or black; both become rejects.
"""

import json
import re

import numpy as np
from numpy.typing import NDArray

from mien.config.corpora import KdefCorpus
from mien.corpora.listed import Listed
from mien.corpora.official import Listing, Tree
from mien.corpora.rows import Look
from mien.manifest.expressions import ANGER, DISGUST, FEAR, HAPPY, NEUTRAL, SAD, SURPRISE

MARKERS = ("KDEF",)
LAYOUT = "KDEF/AF01/AF01AFS.JPG (session, sex, number, expression, view)"
CODES = {"AF": FEAR, "AN": ANGER, "DI": DISGUST, "HA": HAPPY, "NE": NEUTRAL, "SA": SAD, "SU": SURPRISE}
VIEWS = {
    "FL": "full_left",
    "HL": "half_left",
    "S": "straight",
    "HR": "half_right",
    "FR": "full_right",
}
PEOPLE, SESSIONS = 70, 2
IN_PLACE = re.compile(r"KDEF/([AB])([FM])(\d\d)/[^/]+\.jpg", re.IGNORECASE)
NAME = re.compile(r"KDEF/(([AB])([FM])(\d\d))/\1(AF|AN|DI|HA|NE|SA|SU)(FL|HL|S|HR|FR)\.jpg", re.IGNORECASE)


def official(config: KdefCorpus) -> dict[str, int]:
    """4,900 pictures of 70 people; 980 in one view."""
    each = PEOPLE * SESSIONS * len(config.views)
    of = {e: each for e in CODES.values() if e in config.expressions}
    return {"pictures": each * len(CODES), "people": PEOPLE} | of


def listing(tree: Tree, config: KdefCorpus) -> Listing:
    """The pictures in the views that are asked for; misnamed ones in a person's folder become rejects."""
    rows = Listed()
    left_out = set()
    for path in tree.files:
        if match := NAME.fullmatch(path):
            view = VIEWS[match[6].upper()]
            if view not in config.views:
                left_out.add(path)
                continue
            rows.append(
                {
                    "path": path,
                    "expression": CODES[match[5].upper()],
                    "subject": f"{match[3]}{match[4]}".upper(),
                    "view": view,
                    "yaw": 0.0 if view == "straight" else None,  # which side is whose left is not certain
                    "attributes": json.dumps({"session": match[2].upper()}),
                }
            )
        elif match := IN_PLACE.fullmatch(path):
            reason = "misnamed: no expression and view in its name"
            rows.append({"path": path, "subject": f"{match[2]}{match[3]}".upper(), "reject": reason})
    return Listing(rows, left_out=left_out, look=_black(config.darkest_mean))


def _black(darkest_mean: float) -> Look:
    def look(picture: NDArray[np.uint8]) -> str | None:
        mean = float(picture.mean())
        return f"black: its mean is {mean:.1f}" if mean < darkest_mean else None

    return look
