"""From a planned picture to its manifest row and its bytes."""

import hashlib
import json
from typing import Any

import numpy as np

from mien.corpora.rendered.arrays import Floats
from mien.corpora.rendered.face import Face
from mien.corpora.rendered.lens import encode
from mien.corpora.rendered.picture import take
from mien.corpora.rendered.plan import Planned
from mien.corpora.rendered.shots import view_of

Row = dict[str, Any]
FOREHEAD = 0.55  # of the height from chin to brows, added above the brows: a box holds the whole face


def row_of(name: str, face: Face, planned: Planned, px: int) -> tuple[Row, bytes]:
    """Take the picture; its manifest row (without path and place) and its JPEG."""
    units = planned.display.at(planned.share)
    taken = take(face, units, planned.display.tilt, planned.shot, px)
    jpeg = encode(taken.pixels, planned.shot.quality)
    row: Row = {
        "key": planned.key,
        "sha256": hashlib.sha256(jpeg).hexdigest(),
        "corpus": name,
        "expression": planned.expression,
        "subject": face.person.subject,
        "sequence": planned.sequence,
        "frame": planned.frame,
        "frames": planned.frames,
        "view": view_of(planned.shot.yaw),
        "yaw": planned.shot.yaw,
        "box": box_of(taken.points, px),
        "points": taken.points.reshape(-1).tolist(),
        "attributes": json.dumps(_attributes(face, planned, units, taken.points), sort_keys=True),
    }
    return row, jpeg


def box_of(points: Floats, px: int) -> list[float]:
    """Left, top, right, bottom of a face from its 68 points, with the forehead, within the picture."""
    left, top = points.min(axis=0)
    right, bottom = points.max(axis=0)
    top -= FOREHEAD * (bottom - top)
    return [float(v) for v in np.clip([left, top, right, bottom], 0, px - 1)]


def five_of(points: Floats) -> list[list[float]]:
    """Eye centres, nose tip and mouth corners, the picture's left first, from the 68 points."""
    five = [points[36:42].mean(axis=0), points[42:48].mean(axis=0), points[30], points[48], points[54]]
    return [[round(float(v), 2) for v in p] for p in five]


def _attributes(face: Face, planned: Planned, units: dict[str, float], points: Floats) -> dict[str, Any]:
    person, shot = face.person, planned.shot
    return {
        "condition": shot.condition,
        "intensity": round(planned.intensity * planned.share, 4),
        "apex_intensity": round(planned.intensity, 4),
        "action_units": {u: round(w, 3) for u, w in units.items()},
        "five": five_of(points),
        "pitch": round(shot.pitch, 2),
        "roll": round(shot.roll, 2),
        "occluder": shot.occluder,
        "age": round(person.years, 1),
        "gender": round(person.macro["gender"], 3),
        "ancestry": {r: round(person.macro[r], 3) for r in ("african", "asian", "caucasian")},
        "hair": person.hair.style,
        "beard": person.beard,
    }
