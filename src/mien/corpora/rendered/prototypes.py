"""How the canonical expressions are shown: several ways each, as action units with ranges of weight.

After the prototypes and major variants of EMFACS (Ekman, Friesen and Hager, FACS Investigator's Guide, 2002)
and the action units that the models of the Radboud Faces Database were trained on (Langner et al., Cognition
and Emotion 24, 2010). Which variant is how frequent, the ranges and the optional units are ours.
"""

from dataclasses import dataclass, field

import numpy as np

Range = tuple[float, float]


EASE = 0.6
"""Exponent from intensity to weight: half the intensity still moves the face by more than half."""


@dataclass(frozen=True)
class Variant:
    """One way to show an expression: weights at full intensity, and units that come along now and then."""

    units: dict[str, Range]
    maybe: dict[str, tuple[float, Range]] = field(default_factory=dict)  # unit -> (how often, weights)
    share: float = 1.0  # relative frequency
    one_sided: tuple[str, ...] = ()


VARIANTS: dict[str, tuple[Variant, ...]] = {
    "neutral": (Variant({}),),
    "happy": (
        Variant({"AU6": (0.5, 1.0), "AU12": (0.7, 1.0), "AU25": (0.6, 1.0)}, {"AU26": (0.4, (0.2, 0.7))}, 3),
        Variant({"AU6": (0.3, 0.8), "AU12": (0.6, 1.0)}, {"AU14": (0.2, (0.2, 0.5))}, 2),
        Variant({"AU12": (0.5, 0.9), "AU25": (0.3, 0.8)}, {"AU2": (0.2, (0.2, 0.4))}, 1),
    ),
    "sad": (
        Variant({"AU1": (0.7, 1.0), "AU4": (0.3, 0.6), "AU15": (0.7, 1.0)}, {"AU17": (0.6, (0.3, 0.8))}, 3),
        Variant({"AU1": (0.6, 1.0), "AU15": (0.5, 0.9)}, {"AU43": (0.4, (0.15, 0.4))}, 2),
        Variant({"AU6": (0.2, 0.5), "AU15": (0.7, 1.0), "AU17": (0.4, 0.9)}, {"AU1": (0.5, (0.3, 0.8))}, 1),
    ),
    "surprise": (
        Variant({"AU1": (0.7, 1.0), "AU2": (0.7, 1.0), "AU5": (0.5, 0.9), "AU26": (0.7, 1.0)}, {}, 3),
        Variant({"AU1": (0.7, 1.0), "AU2": (0.7, 1.0), "AU5": (0.5, 1.0), "AU27": (0.5, 1.0)}, {}, 2),
        Variant({"AU1": (0.6, 1.0), "AU2": (0.6, 1.0), "AU5": (0.4, 0.8)}, {"AU25": (0.6, (0.4, 0.9))}, 1),
    ),
    "fear": (
        Variant(
            {"AU1": (0.7, 1.0), "AU2": (0.3, 0.7), "AU4": (0.3, 0.6), "AU5": (0.7, 1.0), "AU20": (0.6, 1.0)},
            {"AU25": (0.8, (0.5, 1.0)), "AU26": (0.5, (0.3, 0.8)), "AU7": (0.3, (0.2, 0.5))},
            3,
        ),
        Variant(
            {"AU1": (0.6, 1.0), "AU2": (0.5, 0.9), "AU5": (0.7, 1.0), "AU26": (0.4, 0.9)},
            {"AU20": (0.5, (0.3, 0.7))},
        ),
        Variant({"AU5": (0.8, 1.0), "AU20": (0.6, 1.0), "AU25": (0.5, 1.0)}, {"AU1": (0.7, (0.4, 0.8))}, 1),
    ),
    "disgust": (
        Variant(
            {"AU9": (0.6, 1.0), "AU10": (0.4, 0.8)},
            {"AU25": (0.5, (0.3, 0.8)), "AU17": (0.4, (0.3, 0.7))},
            3,
        ),
        Variant(
            {"AU10": (0.6, 1.0), "AU17": (0.3, 0.7)},
            {"AU4": (0.4, (0.2, 0.5)), "AU15": (0.3, (0.2, 0.5))},
            2,
        ),
        Variant(
            {"AU9": (0.6, 1.0), "AU16": (0.3, 0.7), "AU25": (0.4, 0.9)},
            {"AU26": (0.3, (0.2, 0.5)), "AU7": (0.4, (0.2, 0.6))},
        ),
    ),
    "anger": (
        Variant(
            {"AU4": (0.7, 1.0), "AU5": (0.3, 0.7), "AU7": (0.4, 0.8), "AU23": (0.6, 1.0)},
            {"AU17": (0.4, (0.3, 0.7))},
            3,
        ),
        Variant({"AU4": (0.7, 1.0), "AU7": (0.5, 0.9), "AU24": (0.5, 1.0)}, {"AU17": (0.3, (0.3, 0.7))}, 2),
        Variant(
            {"AU4": (0.7, 1.0), "AU5": (0.4, 0.8), "AU10": (0.3, 0.6), "AU16": (0.3, 0.6)}
            | {"AU25": (0.6, 1.0)},
            {"AU26": (0.4, (0.2, 0.6))},
        ),
    ),
    "contempt": (
        Variant(
            {"AU14": (0.7, 1.0), "AU12": (0.2, 0.5)},
            {"AU10": (0.2, (0.2, 0.4))},
            3,
            ("AU14", "AU12", "AU10"),
        ),
        Variant(
            {"AU10": (0.3, 0.6), "AU14": (0.5, 0.9)},
            {"AU2": (0.3, (0.2, 0.5))},
            one_sided=("AU10", "AU14", "AU2"),
        ),
    ),
}  # fmt: skip

IDLE: dict[str, Range] = {
    "AU1": (0.1, 0.45), "AU2": (0.1, 0.45), "AU4": (0.1, 0.45), "AU5": (0.05, 0.3), "AU7": (0.1, 0.4),
    "AU12": (0.05, 0.3), "AU14": (0.1, 0.4), "AU15": (0.05, 0.35), "AU17": (0.1, 0.4), "AU18": (0.1, 0.4),
    "AU23": (0.1, 0.4), "AU24": (0.1, 0.4), "AU25": (0.1, 0.5), "AU26": (0.05, 0.35), "AU28": (0.1, 0.3),
    "AU30L": (0.05, 0.2), "AU30R": (0.05, 0.2), "AU34": (0.05, 0.3), "AU43": (0.05, 0.6),
}  # fmt: skip
"""What faces do without meaning anything: speech, habits, rest."""


@dataclass(frozen=True)
class Display:
    """What one face shows: action units, how far each leans to one side, and how much of each is the
    expression's."""

    units: dict[str, float]  # at the apex, intensity included
    idle: dict[str, float]  # there whatever the intensity
    tilt: dict[str, float]

    def at(self, share: float) -> dict[str, float]:
        """Action units when `share` (0 to 1) of the apex is reached, each at most 1."""
        out = dict(self.idle)
        for unit, weight in self.units.items():
            out[unit] = min(1.0, out.get(unit, 0.0) + share * weight)
        return {unit: out[unit] for unit in sorted(out) if out[unit] > 0}


def display(
    expression: str, intensity: float, rest: dict[str, float], idle_units: float, rng: np.random.Generator
) -> Display:
    """Draw one way to show `expression`. `rest`: the person's own resting face; `idle_units`: mean number of
    idle units."""
    variants = VARIANTS[expression]
    shares = np.array([v.share for v in variants])
    variant = variants[rng.choice(len(variants), p=shares / shares.sum())]
    ranges = dict(variant.units)
    for unit, (often, weights) in variant.maybe.items():
        if rng.random() < often:
            ranges[unit] = weights
    units = {}
    for unit, weights in ranges.items():
        drawn = intensity**EASE * rng.uniform(*weights) * np.exp(rng.normal(0, 0.12))
        units[unit] = float(min(1.0, drawn))
    tilt = {u: float(np.clip(rng.normal(0, 0.12), -0.4, 0.4)) for u in IDLE | units}
    side = rng.choice([-1.0, 1.0])
    for unit in variant.one_sided:
        tilt[unit] = float(side * rng.uniform(0.6, 1.0))
    idle = {u: w * float(rng.uniform(0.4, 1.4)) for u, w in rest.items()}
    for unit in rng.choice(sorted(IDLE), min(len(IDLE), rng.poisson(idle_units)), replace=False):
        idle[str(unit)] = idle.get(str(unit), 0.0) + float(rng.uniform(*IDLE[str(unit)]))
    return Display(units, {u: min(w, 1.0) for u, w in idle.items()}, tilt)
