"""MMI (Pantic et al. 2005): videos from onset over apex to offset, one folder a session with an XML beside.

Layout of certainty C: nobody here has seen it, so what the XML is asked for is a setting. Sessions without an
emotion are left out. Of a video only the frames that carry a label are kept, as PNG: all would be gigabytes.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from mien.config.corpora import MmiCorpus
from mien.corpora.official import VIDEOS, Listing, Tree
from mien.corpora.rows import ENDINGS, Row
from mien.corpora.sequences import label_frames

MARKERS = ("Sessions", "*/*/*.avi")
LAYOUT = "Sessions/<id>/*.avi with an XML beside that holds subject and emotion"
SEQUENCES, PEOPLE = 213, 31


def official(config: MmiCorpus) -> dict[str, int]:
    """213 labelled sequences of 31 people; IDFERM uses 208 of them."""
    return {"sequences": SEQUENCES, "people": PEOPLE}


def listing(tree: Tree, config: MmiCorpus) -> Listing:
    """The labelled frames of each labelled session. MienError: an XML is wrong, or a video has none."""
    below = f"{config.sessions}/"
    videos = [f for f in tree.files if f.startswith(below) and Path(f).suffix.lower() in VIDEOS]
    labelled = []
    for video in videos:
        about = _session(tree, str(Path(video).parent.as_posix()), config)
        if about is not None:
            labelled.append((video, *about))
    stills = {f for f in tree.files if f.startswith(below) and Path(f).suffix.lower() in ENDINGS}
    made = _frames(tree, labelled, config) if labelled else None
    return Listing(made=made, left_out=set(videos) | stills)


def _session(tree: Tree, folder: str, config: MmiCorpus) -> tuple[str | None, str] | None:
    """Subject and expression of a session, or None when it has no emotion."""
    xmls = [f for f in tree.files if f.startswith(f"{folder}/") and f.lower().endswith(".xml")]
    if len(xmls) != 1:
        raise tree.wrong(folder, None, f"holds a video and {len(xmls)} XML files instead of one")
    tree.used.add(xmls[0])
    try:
        root = ElementTree.parse(tree.root / xmls[0]).getroot()
    except (ElementTree.ParseError, OSError) as error:
        raise tree.wrong(xmls[0], None, f"is no XML ({error})") from error
    emotion = root.find(config.emotion_element)
    if emotion is None:
        return None
    code = emotion.get(config.emotion_attribute, "")
    if code not in config.codes:
        raise tree.wrong(xmls[0], None, f"has the emotion {code!r}, which corpora.{tree.name}.codes has not")
    subject = root.find(config.subject_element)
    return None if subject is None else subject.get(config.subject_attribute), config.codes[code]


def _frames(
    tree: Tree, videos: list[tuple[str, str | None, str]], config: MmiCorpus
) -> Iterator[tuple[Row, bytes]]:
    first: dict[str, str] = {}
    for video, subject, expression in videos:
        stem = video.removeprefix(f"{config.sessions}/").rsplit(".", 1)[0]
        about: Row = {"subject": subject, "sequence": stem}
        with (tree.root / video).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        kept = first.setdefault(digest, video)
        count = _count(tree.root / video) if kept == video else 0
        if count == 0:
            reason = "unreadable: no frame can be decoded" if kept == video else f"copy of {kept}"
            yield about | {"path": video, "name": stem, "expression": expression, "reject": reason}, b""
            continue
        rows = label_frames([{**about, "name": f"{stem}-{k:04d}"} for k in range(count)], expression, config)
        yield from _labelled(tree.root / video, rows)


def _count(video: Path) -> int:
    """How many frames can be decoded; what the header says is not trusted."""
    import cv2

    reader, count = cv2.VideoCapture(str(video)), 0
    while reader.grab():
        count += 1
    reader.release()
    return count


def _labelled(video: Path, rows: list[Row]) -> Iterator[tuple[Row, bytes]]:
    """The frames with a label, decoded."""
    import cv2

    reader = cv2.VideoCapture(str(video))
    for row in rows:
        read, pixels = reader.read()
        if row["expression"] is not None and read:
            yield row, cv2.imencode(".png", pixels)[1].tobytes()
    reader.release()
