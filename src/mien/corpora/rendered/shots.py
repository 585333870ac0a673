"""How a picture is taken: pose, camera, light, backdrop, blur and noise, in the lab and in the wild."""

from dataclasses import dataclass, replace

import numpy as np

from mien.corpora.rendered.arrays import Floats, floats
from mien.corpora.rendered.stage import Light

LAB, WILD = "lab", "wild"
DISTANCE_M = 1.1
OCCLUDERS = ("glasses", "sunglasses", "hand", "mask", "scarf", "strand")
_OFTEN = (0.4, 0.1, 0.15, 0.12, 0.08, 0.15)


@dataclass(frozen=True)
class Shot:
    """One picture's circumstances. Angles in degrees: yaw to the person's left, pitch up, roll clockwise in
    the picture."""

    condition: str
    yaw: float
    pitch: float
    roll: float
    shift: tuple[float, float]  # of the head in the picture, as shares of its half side
    half: float  # tangent of half the field of view
    gaze: tuple[float, float]  # degrees away from the camera: to the person's left, up
    light: Light
    backdrop: int  # 0: plain; otherwise which procedural one
    backdrop_colour: Floats
    blur_px: float
    noise: float
    quality: int  # of the JPEG
    exposure: float
    occluder: str | None
    stream: int  # for everything the picture itself draws


def _unit(x: float, y: float, z: float) -> Floats:
    v = np.array([x, y, z], np.float32)
    return v / np.linalg.norm(v)


def lab_shot(rng: np.random.Generator) -> Shot:
    """A studio: plain grey backdrop, the same lamps for all, the head held nearly straight."""
    light = Light(
        _unit(-0.45 + rng.normal(0, 0.03), -0.8, 0.55 + rng.normal(0, 0.03)),
        floats([0.95, 0.93, 0.90]),
        0.07,
        floats([0.34, 0.34, 0.35]),
        floats([0.17, 0.16, 0.16]),
        floats([0.20, 0.20, 0.20]),
    )
    yaw, pitch, roll = (float(x) for x in rng.normal(0, [2.5, 2.0, 1.8]))
    return Shot(
        LAB, yaw, pitch, roll, shift=_pair(rng, 0.02), half=float(0.128 * np.exp(rng.normal(0, 0.02))),
        gaze=_pair(rng, 1.5), light=light, backdrop=0, backdrop_colour=floats([0.36] * 3), blur_px=0.35,
        noise=0.004, quality=93, exposure=float(np.exp(rng.normal(0, 0.03))), occluder=None,
        stream=int(rng.integers(2**31)),
    )  # fmt: skip


def wild_shot(rng: np.random.Generator, occluder_share: float) -> Shot:
    """Anywhere: turned heads, any light, any backdrop, blur and noise, now and then something before the
    face."""
    yaw = float(np.clip(rng.normal(0, 18), -48, 48))
    side, up = rng.normal(0, 0.7), rng.uniform(-0.15, 1.0)
    warmth = rng.normal(0, 0.16)
    tint = np.exp(floats([warmth, 0, -warmth]))
    key = rng.uniform(0.25, 1.2)
    around = rng.uniform(0.12, 0.5)
    light = Light(
        _unit(side, -rng.uniform(0.45, 1.0), up),
        (key * tint).astype(np.float32),
        float(rng.uniform(0.02, 0.15)),
        (around * np.exp(rng.normal(0, 0.12, 3))).astype(np.float32),
        (0.6 * around * np.exp(rng.normal(0, 0.15, 3))).astype(np.float32),
        np.full(3, rng.uniform(0.02, 0.25), np.float32),
    )
    occluder = str(rng.choice(OCCLUDERS, p=_OFTEN)) if rng.random() < occluder_share else None
    return Shot(
        WILD, yaw, float(np.clip(rng.normal(0, 9), -22, 22)), float(np.clip(rng.normal(0, 8), -22, 22)),
        shift=_pair(rng, 0.07), half=float(rng.uniform(0.115, 0.175)), gaze=_pair(rng, 5.0), light=light,
        backdrop=int(rng.integers(1, 6)), backdrop_colour=muted(rng),
        blur_px=float(rng.choice([0.35, 0.7, 1.3], p=[0.5, 0.35, 0.15])),
        noise=float(rng.uniform(0.004, 0.026)),
        quality=int(rng.integers(48, 95)), exposure=float(np.exp(rng.normal(0, 0.22))), occluder=occluder,
        stream=int(rng.integers(2**31)),
    )  # fmt: skip


def muted(rng: np.random.Generator) -> Floats:
    """A colour as walls and clothes have it, linear RGB."""
    colour = rng.uniform(0.1, 0.9, 3) ** 2
    return floats(colour.mean() + rng.uniform(0, 0.7) * (colour - colour.mean()))


def _pair(rng: np.random.Generator, sigma: float) -> tuple[float, float]:
    return float(rng.normal(0, sigma)), float(rng.normal(0, sigma))


def turn_of(shot: Shot) -> Floats:
    """Rotation (3, 3) from the head's axes to the camera's: roll after pitch after yaw."""
    y, p, r = np.radians([shot.yaw, shot.pitch, shot.roll])
    yaw = np.array([[np.cos(y), -np.sin(y), 0], [np.sin(y), np.cos(y), 0], [0, 0, 1]])
    pitch = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    roll = np.array([[np.cos(r), 0, np.sin(r)], [0, 1, 0], [-np.sin(r), 0, np.cos(r)]])
    return floats(roll @ pitch @ yaw)


def view_of(yaw: float) -> str:
    """The manifest's word for a yaw: where the face points in the picture of a person who turns to their own
    side."""
    if abs(yaw) < 15:
        return "frontal"
    return ("half-" if abs(yaw) < 35 else "") + ("left" if yaw > 0 else "right")


def drifted(shot: Shot, to: tuple[float, float], share: float, stream: int) -> Shot:
    """Give the shot of a later frame: the head on its way to another yaw and pitch, fresh noise."""
    yaw, pitch = shot.yaw + share * (to[0] - shot.yaw), shot.pitch + share * (to[1] - shot.pitch)
    return replace(shot, yaw=float(yaw), pitch=float(pitch), stream=stream)
