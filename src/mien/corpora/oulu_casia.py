"""Oulu-CASIA NIR&VIS (Zhao et al. 2011): 80 people, six expressions, each filmed from neutral to the apex.

Layout of certainty B: it has not met the archive.
"""

import re
from collections import defaultdict

from mien.config.corpora import OuluCasiaCorpus
from mien.corpora.listed import Listed
from mien.corpora.official import Listing, Tree
from mien.corpora.sequences import label_frames
from mien.manifest.expressions import ANGER, DISGUST, FEAR, HAPPY, SAD, SURPRISE

MARKERS = ("OriginalImg", "VL", "NI", "*/VL", "*/NI")
LAYOUT = "OriginalImg/VL/Strong/P001/Anger/000.jpeg (camera, light, person, expression, frame)"
WORDS = {
    "Anger": ANGER,
    "Disgust": DISGUST,
    "Fear": FEAR,
    "Happiness": HAPPY,
    "Sadness": SAD,
    "Surprise": SURPRISE,
}
PEOPLE = 80


def official(config: OuluCasiaCorpus) -> dict[str, int]:
    """480 sequences of 80 people under each camera and light."""
    each = PEOPLE * len(config.cameras) * len(config.lights)
    of = {f"sequences/{e}": each for e in WORDS.values() if e in config.expressions}
    return {"people": PEOPLE, "sequences": each * len(WORDS)} | of


def listing(tree: Tree, config: OuluCasiaCorpus) -> Listing:
    """All frames under the cameras and lights that are asked for. MienError: a folder is no expression."""
    frame = re.compile(
        rf"{re.escape(config.folder)}/(NI|VL)/(Strong|Weak|Dark)/(P\d+)/([^/]+)/(\d+)\.(?:jpeg|jpg|png|bmp)",
        re.IGNORECASE,
    )
    sequences: dict[tuple[str, str, str, str], list[tuple[int, str]]] = defaultdict(list)
    left_out = set()
    for path in tree.files:
        if match := frame.fullmatch(path):
            camera, light, person, word = match[1].upper(), match[2].title(), match[3].upper(), match[4]
            if word.title() not in WORDS:
                raise tree.wrong(path, None, f"is below {word!r}, which is none of {', '.join(WORDS)}")
            if camera not in config.cameras or light not in config.lights:
                left_out.add(path)
            else:
                sequences[camera, light, person, word.title()].append((int(match[5]), path))
    rows = Listed()
    for (camera, light, person, word), found in sequences.items():
        about = {
            "subject": person,
            "sequence": f"{person}-{word}-{camera}-{light}".lower(),
            "view": "frontal",
        }
        frames = [{"path": path, **about} for _, path in sorted(found)]
        rows.extend(label_frames(frames, WORDS[word], config))
    return Listing(rows, left_out=left_out)
