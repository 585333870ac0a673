"""FERG-DB (Aneja et al. 2016): 55,767 drawn pictures of six characters, seven expressions.

Layout of certainty B: it has not met the archive. A character counts as a subject.
"""

import re

from mien.config.corpora import FergDbCorpus
from mien.corpora.listed import Listed
from mien.corpora.official import Listing, Tree
from mien.manifest.expressions import ANGER, DISGUST, FEAR, HAPPY, NEUTRAL, SAD, SURPRISE

MARKERS = ("FERG_DB_256",)
LAYOUT = "FERG_DB_256/aia/aia_anger/*.png (character, expression)"
CHARACTERS = ("aia", "bonnie", "jules", "malcolm", "mery", "ray")
WORDS = {
    "anger": ANGER,
    "disgust": DISGUST,
    "fear": FEAR,
    "joy": HAPPY,
    "neutral": NEUTRAL,
    "sadness": SAD,
    "surprise": SURPRISE,
}
PICTURE = re.compile(r"FERG_DB_256/([a-z]+)/\1_([a-z]+)/[^/]+\.png", re.IGNORECASE)


def official(config: FergDbCorpus) -> dict[str, int]:
    """Pictures and characters; the owner gives no counts of expressions that we know."""
    return {"pictures": 55_767, "people": len(CHARACTERS)}


def listing(tree: Tree, config: FergDbCorpus) -> Listing:
    """All pictures. MienError: a folder is of no known character or expression."""
    rows = Listed()
    for path in tree.files:
        if match := PICTURE.fullmatch(path):
            character, word = match[1].lower(), match[2].lower()
            if character not in CHARACTERS or word not in WORDS:
                raise tree.wrong(path, None, f"is of {character!r}, {word!r}, which FERG-DB has not")
            rows.append({"path": path, "expression": WORDS[word], "subject": character})
    return Listing(rows)
