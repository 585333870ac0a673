"""Action units and the facial actions that show them.

The mesh knows ARKit's 52 actions, FACS speaks of action units (Ekman, Friesen and Hager, Facial Action Coding
System, 2002). The table follows the muscles' descriptions in the manual's chapters; the weights were set by
eye on rendered faces, a weight of 1 of an action unit being about intensity E.
"""

from collections.abc import Mapping

from mien.corpora.rendered.actions import ACTIONS

ACTIONS_OF: dict[str, dict[str, float]] = {
    "AU1": {"browInnerUp": 1.15},
    "AU2": {"browOuterUp*": 1.0},
    "AU4": {"browDown*": 1.3},
    "AU5": {"eyeWide*": 1.0},
    "AU6": {"cheekSquint*": 1.2, "eyeSquint*": 0.4},
    "AU7": {"eyeSquint*": 1.0},
    "AU9": {"noseSneer*": 1.25, "browDown*": 0.3},
    "AU10": {"mouthUpperUp*": 1.1, "noseSneer*": 0.3},
    "AU12": {"mouthSmile*": 1.3},
    "AU14": {"mouthDimple*": 1.0, "mouthPress*": 0.3},
    "AU15": {"mouthFrown*": 1.25},
    "AU16": {"mouthLowerDown*": 1.0},
    "AU17": {"mouthShrugLower": 0.9, "mouthShrugUpper": 0.35},
    "AU18": {"mouthPucker": 0.8},
    "AU20": {"mouthStretch*": 1.25},
    "AU22": {"mouthFunnel": 0.8},
    "AU23": {"mouthPress*": 0.55, "mouthRollUpper": 0.35, "mouthRollLower": 0.35},
    "AU24": {"mouthPress*": 1.0, "mouthRollLower": 0.2},
    "AU25": {"mouthLowerDown*": 0.35, "mouthUpperUp*": 0.35, "jawOpen": 0.05},
    "AU26": {"jawOpen": 0.35},
    "AU27": {"jawOpen": 0.85},
    "AU28": {"mouthRollUpper": 0.9, "mouthRollLower": 0.9},
    "AU29": {"jawForward": 1.0},
    "AU30L": {"jawLeft": 1.0},
    "AU30R": {"jawRight": 1.0},
    "AU34": {"cheekPuff": 1.0},
    "AU43": {"eyeBlink*": 1.0},
}
"""A star stands for the side: such an action unit can be stronger on one side."""


MOST = 1.4
"""Of an action: its target still moves the face soundly a little beyond the weight of 1 that it was modelled
for."""


def is_sided(unit: str) -> bool:
    """Say whether an action unit has a left and a right half."""
    return any(name.endswith("*") for name in ACTIONS_OF[unit])


def actions_of(units: Mapping[str, float], tilt: Mapping[str, float] | None = None) -> dict[str, float]:
    """Facial actions that show the action units, each from 0 to MOST.

    `units`: AU name -> weight, 0 to 1. `tilt`: AU name -> -1 (the person's right side alone) to 1 (left side
    alone). What several units ask of one action adds up to at most MOST. KeyError: an action unit that the
    table lacks.
    """
    out: dict[str, float] = {}
    for unit, weight in units.items():
        lean = (tilt or {}).get(unit, 0.0)
        for name, share in ACTIONS_OF[unit].items():
            sides = (
                {"Left": min(1.0, 1 + lean), "Right": min(1.0, 1 - lean)} if name.endswith("*") else {"": 1.0}
            )
            for side, of in sides.items():
                key = name.removesuffix("*") + side
                out[key] = out.get(key, 0.0) + weight * share * of
    return {name: min(MOST, max(0.0, out[name])) for name in ACTIONS if name in out}
