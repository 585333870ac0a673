"""What a corpus shows: every picture of every person, in order, each with its own random numbers."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mien.config.corpora import RenderedCorpus
from mien.corpora.rendered.people import Person
from mien.corpora.rendered.prototypes import Display, display
from mien.corpora.rendered.shots import LAB, WILD, Shot, drifted, lab_shot, wild_shot
from mien.manifest.expressions import EXPRESSIONS, NEUTRAL


@dataclass(frozen=True)
class Planned:
    """One picture to be taken."""

    key: str
    expression: str
    shot: Shot
    display: Display
    intensity: float  # of the apex
    share: float  # of the apex that this picture shows, 0 to 1
    sequence: str | None = None
    frame: int | None = None
    frames: int | None = None


def pictures_per_person(config: RenderedCorpus) -> int:
    """How many pictures each person has."""
    shown = sum(e != NEUTRAL for e in config.expressions)
    still = len(config.expressions) * (config.lab_pictures + config.wild_pictures)
    return still + shown * config.sequences * config.sequence_frames


def plan_person(name: str, config: RenderedCorpus, person: Person) -> Iterator[Planned]:
    """Every picture of one person, in the order of the manifest.

    A picture depends on the seed, the person, the expression, the condition and its number alone, so that a
    corpus with more people or more pictures holds the same ones again.
    """
    for expression in config.expressions:
        for condition, count in ((LAB, config.lab_pictures), (WILD, config.wild_pictures)):
            for number in range(count):
                rng = _stream(person, expression, condition, number)
                shot = lab_shot(rng) if condition == LAB else wild_shot(rng, config.occluder_share)
                intensity = (
                    0.0
                    if expression == NEUTRAL
                    else float(rng.uniform(config.intensity[0], config.intensity[1]))
                )
                shown = display(expression, intensity, person.rest, config.idle_units, rng)
                key = f"{name}-{person.subject}-{expression}-{condition}-{number:02d}"
                yield Planned(key, expression, shot, shown, intensity, 1.0)
        if expression != NEUTRAL:
            for number in range(config.sequences):
                yield from _sequence(name, config, person, expression, number)


def _sequence(
    name: str, config: RenderedCorpus, person: Person, expression: str, number: int
) -> Iterator[Planned]:
    """Frames of one display: even numbers end at the apex, odd ones go on to the offset."""
    rng = _stream(person, expression, "sequence", number)
    shot = lab_shot(rng)
    intensity = float(rng.uniform(config.intensity[0], config.intensity[1]))
    shown = display(expression, intensity, person.rest, 0.5 * config.idle_units, rng)
    stem = f"{name}-{person.subject}-{expression}-seq-{number:02d}"
    to = shot.yaw + rng.normal(0, 2.5), shot.pitch + rng.normal(0, 2.0)
    shares = curve(config.sequence_frames, falls=number % 2 == 1, sharpness=float(rng.uniform(0.8, 1.6)))
    for frame, share in enumerate(shares):
        at = drifted(shot, to, frame / (len(shares) - 1), int(rng.integers(2**31)))
        key = f"{stem}-f{frame:03d}"
        yield Planned(key, expression, at, shown, intensity, share, stem, frame, len(shares))


def curve(frames: int, falls: bool, sharpness: float) -> list[float]:
    """Share of the apex in each frame: 0 first and 1 at the apex, which is the last frame unless the display
    falls again."""
    apex = frames - 1 if not falls else max(1, round((frames - 1) * 0.55))
    out = []
    for frame in range(frames):
        at = frame / apex if frame <= apex else (frames - 1 - frame) / max(1, frames - 1 - apex)
        out.append((0.5 - 0.5 * math.cos(math.pi * min(1.0, max(0.0, at)))) ** sharpness)
    return out


def _stream(person: Person, expression: str, condition: str, number: int) -> np.random.Generator:
    condition_number = (LAB, WILD, "sequence").index(condition)
    return np.random.default_rng(
        [person.seed, person.number, 10 + EXPRESSIONS.index(expression), condition_number, number]
    )
