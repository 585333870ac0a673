"""Who is who: everything about a person that no picture changes, drawn from (seed, person number) alone."""

from dataclasses import dataclass

import numpy as np

from mien.corpora.rendered.arrays import Floats, floats
from mien.corpora.rendered.basis import RACES, Basis
from mien.corpora.rendered.prototypes import IDLE

LOCAL_SIGMA = 0.3
LOCAL_SHARE = 0.75  # of the local shape changes, how many a person has
SIDE_SIGMA = 0.08  # what the left and right halves of a face differ by
YOUNGEST, OLDEST = 18, 85
_GLOBAL = ("head-scale", "neck-scale", "head-trans", "neck-trans")  # changes of pose and size: kept small
BEARDS, HAIR = (
    ("none", "stubble", "moustache", "goatee", "full"),
    ("bald", "short", "medium", "long", "curly"),
)


@dataclass(frozen=True)
class Hair:
    """Hair of the head; millimetres."""

    style: str  # one of HAIR
    colour: Floats  # (3,) linear RGB
    front_mm: float  # added to the height of the hairline; negative: a fringe
    temples_mm: float  # how far the temples recede
    slant: float  # a fringe swept to one side: millimetres per millimetre
    volume_mm: float  # on top
    sides_mm: float
    length_mm: float  # long hair: how far below the eyes it ends


@dataclass(frozen=True)
class Brows:
    """Painted eyebrows, on the mean head; millimetres."""

    raise_mm: float
    thickness_mm: float
    arch_mm: float
    length_mm: float
    density: float  # 0 to 1
    colour: Floats  # (3,) linear RGB


@dataclass(frozen=True)
class Person:
    """One identity."""

    number: int
    seed: int
    years: float
    macro: dict[str, float]
    local: dict[str, float]
    melanin: float  # 0 fair to 1 dark
    skin: Floats  # (3,) linear RGB
    lips: Floats
    iris: Floats
    beard: str
    hair: Hair
    brows: Brows
    freckles: float  # 0 to 1
    blotches: float
    lashes: float  # share of their full length
    wrinkles: float  # depth of the lines at rest, and how much expression deepens them
    rest: dict[str, float]  # action units of the resting face
    shirt: Floats

    @property
    def subject(self) -> str:
        """The name in the manifest: the same number is the same person in every corpus of one seed."""
        return f"p{self.number:04d}"


def draw_person(basis: Basis, seed: int, number: int) -> Person:
    """Draw person `number` of `seed`; the same two numbers give the same person on every machine."""
    rng = np.random.default_rng([seed, number, 1])
    years = float(rng.triangular(YOUNGEST, 26, OLDEST))
    gender = float(np.clip(rng.choice([0.0, 1.0]) + rng.normal(0, 0.12), 0, 1))
    shares = rng.dirichlet([0.35, 0.35, 0.35])
    age = float(np.clip((years - 25) / 65, 0, 1))
    macro = {"gender": gender, "age": age, "muscle": float(rng.uniform(0.25, 0.75))}
    macro |= {"weight": float(np.clip(rng.normal(0.5, 0.16), 0.1, 0.95))}
    macro |= {race: float(share) for race, share in zip(RACES, shares, strict=True)}
    melanin = float(np.clip(shares @ [0.78, 0.28, 0.14] + rng.normal(0, 0.09), 0.0, 1.0))
    grey = float(np.clip((years - 46) / 22 + rng.normal(0, 0.3), 0, 1)) * (years > 34)
    natural = _natural_hair(melanin, float(shares[2]), rng)
    silver = floats([0.42, 0.41, 0.40])
    hair_colour = (natural * (1 - grey) + silver * grey).astype(np.float32)
    man = gender < 0.5
    return Person(
        number=number,
        seed=seed,
        years=years,
        macro=macro,
        local=_local(basis, rng),
        melanin=melanin,
        skin=(skin := _skin(melanin, rng)),
        lips=_lips(skin, melanin, not man, rng),
        iris=_iris(melanin, float(shares[2]), rng),
        beard=str(rng.choice(BEARDS, p=[0.45, 0.25, 0.08, 0.1, 0.12])) if man else "none",
        hair=_hair(hair_colour, man, years, float(shares[0]), rng),
        brows=_brows((natural * (1 - 0.6 * grey) + silver * 0.6 * grey).astype(np.float32), man, rng),
        freckles=float(rng.uniform(0, 1) if melanin < 0.3 and rng.random() < 0.4 else 0),
        blotches=float(rng.uniform(0.2, 1.0)),
        lashes=float(rng.uniform(0.15, 0.4) if man else rng.uniform(0.35, 0.8)),
        wrinkles=float(np.clip(0.15 + (years - 28) / 45 + rng.normal(0, 0.12), 0.08, 1.3)),
        rest=_resting(rng),
        shirt=(rng.uniform(0.02, 0.6, 3) ** 1.3).astype(np.float32),
    )  # fmt: skip


_REST = ("AU1", "AU4", "AU7", "AU12", "AU15", "AU17", "AU24", "AU25")


def _resting(rng: np.random.Generator) -> dict[str, float]:
    """What a face shows at rest: some look stern, tired or amused when they are not."""
    units = rng.choice(_REST, rng.integers(0, 3), replace=False)
    return {str(unit): 0.7 * float(rng.uniform(*IDLE[str(unit)])) for unit in units}


def _local(basis: Basis, rng: np.random.Generator) -> dict[str, float]:
    """Local shape changes: both sides alike but for a little, changes of the whole head's size kept small."""
    out: dict[str, float] = {}
    names = [str(name) for name in basis.local_names]
    for name in names:
        if name.startswith("r-"):
            continue
        value = float(np.clip(rng.normal(0, LOCAL_SIGMA), -0.9, 0.9)) * (rng.random() < LOCAL_SHARE)
        if name.startswith(_GLOBAL) or "measure" in name:
            value *= 0.4
        out[name] = value
        if name.startswith("l-"):
            out[name] = value + float(rng.normal(0, SIDE_SIGMA))
            out["r-" + name[2:]] = value + float(rng.normal(0, SIDE_SIGMA))
    return {name: value for name, value in out.items() if value}


def _skin(melanin: float, rng: np.random.Generator) -> Floats:
    """Linear RGB of the skin: from fair to dark along the logarithm, with more or less blood and yellow."""
    anchors = np.log(
        np.array([[0.66, 0.42, 0.33], [0.47, 0.27, 0.18], [0.24, 0.115, 0.066], [0.085, 0.038, 0.024]])
    )
    at = melanin * 3
    k = min(int(at), 2)
    tone = np.exp(anchors[k] * (k + 1 - at) + anchors[k + 1] * (at - k))
    tone *= np.exp(
        rng.normal(0, 0.04) * np.array([1, -0.6, -0.6]) + rng.normal(0, 0.05) * np.array([0, 0, 1])
    )
    return floats(np.clip(tone * np.exp(rng.normal(0, 0.05)), 0.01, 0.85))


def _lips(skin: Floats, melanin: float, painted: bool, rng: np.random.Generator) -> Floats:
    bare = skin * np.array([0.78, 0.50, 0.52]) * rng.uniform(0.85, 1.1)
    if painted and rng.random() < 0.35:
        stick = np.array([rng.uniform(0.25, 0.5), rng.uniform(0.02, 0.1), rng.uniform(0.03, 0.12)])
        return floats(0.4 * bare + 0.6 * stick * (1 - 0.5 * melanin))
    return floats(bare)


def _iris(melanin: float, caucasian: float, rng: np.random.Generator) -> Floats:
    if rng.random() < 0.75 * caucasian * (1 - melanin):
        palette = [[0.16, 0.25, 0.36], [0.22, 0.27, 0.27], [0.17, 0.22, 0.10], [0.20, 0.15, 0.06]]
        return floats(np.array(palette[rng.integers(4)]) * rng.uniform(0.7, 1.2))
    return floats(np.array([0.085, 0.04, 0.02]) * rng.uniform(0.5, 1.5))


def _natural_hair(melanin: float, caucasian: float, rng: np.random.Generator) -> Floats:
    """Linear RGB before any grey."""
    if rng.random() < 0.8 * caucasian * (1 - melanin):
        palette = [
            [0.10, 0.055, 0.03],
            [0.22, 0.13, 0.06],
            [0.40, 0.27, 0.12],
            [0.20, 0.06, 0.02],
            [0.05, 0.03, 0.02],
        ]
        return np.array(palette[rng.integers(5)], np.float32) * np.float32(rng.uniform(0.7, 1.2))
    return floats([0.018, 0.014, 0.012]) * np.float32(rng.uniform(0.6, 1.8))


def _hair(colour: Floats, man: bool, years: float, african: float, rng: np.random.Generator) -> Hair:
    odds = np.array(
        [0.12 + 0.004 * max(0, years - 35), 0.45, 0.2, 0.03, 0.2 * african]
        if man
        else [0.01, 0.1, 0.25, 0.44, 0.35 * african]
    )
    style = str(rng.choice(HAIR, p=odds / odds.sum()))
    receding = max(0.0, rng.normal((years - 35) / 4, 6)) if man else max(0.0, rng.normal(0, 2))
    fringe = 0.0 if man or style in ("bald", "curly") or rng.random() < 0.6 else -rng.uniform(8, 26)
    volume = {"bald": 0.5, "short": 7, "medium": 16, "long": 12, "curly": 24}[style] * rng.uniform(0.7, 1.4)
    sides = {"bald": 0.3, "short": 3.5, "medium": 8, "long": 8, "curly": 16}[style] * rng.uniform(0.7, 1.4)
    return Hair(
        style,
        colour,
        front_mm=float(fringe + rng.normal(0, 4) + 0.5 * min(receding, 30)),
        temples_mm=float(min(receding, 35)),
        slant=float(rng.normal(0, 0.16)),
        volume_mm=float(volume),
        sides_mm=float(sides),
        length_mm=float(rng.uniform(60, 200)) if style == "long" else 0.0,
    )  # fmt: skip


def _brows(colour: Floats, man: bool, rng: np.random.Generator) -> Brows:
    return Brows(
        raise_mm=float(rng.normal(0, 1.3)),
        thickness_mm=float(rng.uniform(4.2, 7.0) if man else rng.uniform(2.8, 5.0)),
        arch_mm=float(rng.uniform(1.0, 3.5) if man else rng.uniform(2.5, 6.0)),
        length_mm=float(rng.uniform(36, 44)),
        density=float(rng.uniform(0.55, 0.95)),
        colour=(0.8 * colour + 0.004).astype(np.float32),
    )
