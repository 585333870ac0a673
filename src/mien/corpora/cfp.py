"""CFP, Celebrities in Frontal-Profile (Sengupta et al. 2016): 500 people, 10 + 4 pictures each.

Layout seen in public code (certainty A); it has not met the archive. Expressions are not known.
"""

import json
import re

from mien.config.corpora import CfpCorpus
from mien.corpora.listed import Listed
from mien.corpora.official import Listing, Tree
from mien.corpora.rows import Row

MARKERS = ("Data/Images",)
LAYOUT = "Data/Images/001/frontal/01.jpg, Data/Images/001/profile/01.jpg and, if there, Data/Fiducials/ alike"
PEOPLE, FRONTAL, PROFILE = 500, 10, 4
PICTURE = re.compile(r"Data/Images/(\d{3})/(frontal|profile)/(\d\d)\.jpg")
FIDUCIALS = 30


def official(config: CfpCorpus) -> dict[str, int]:
    """7,000 pictures of 500 people."""
    return {"pictures": PEOPLE * (FRONTAL + PROFILE), "people": PEOPLE}


def listing(tree: Tree, config: CfpCorpus) -> Listing:
    """All pictures. MienError: a fiducial file does not hold 30 points."""
    rows = Listed()
    for path in tree.files:
        if match := PICTURE.fullmatch(path):
            row: Row = {"path": path, "subject": match[1], "view": match[2]}
            points = f"Data/Fiducials/{match[1]}/{match[2]}/{match[3]}.txt"
            if points in tree.known:
                row["attributes"] = json.dumps({"fiducials": _fiducials(tree, points)})
            rows.append(row)
    return Listing(rows)


def _fiducials(tree: Tree, path: str) -> list[list[float]]:
    points = []
    for number, line in tree.lines(path):
        try:
            x, y = (float(word) for word in line.split(","))
        except ValueError as error:
            raise tree.wrong(path, number, f"is {line!r} and not 'x,y'") from error
        points.append([x, y])
    if len(points) != FIDUCIALS:
        raise tree.wrong(path, None, f"holds {len(points)} points instead of {FIDUCIALS}")
    return points
