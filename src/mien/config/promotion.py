"""`promotion` of params.yaml: which model becomes champion, on which faces that is found out, and drift."""

import itertools
from collections.abc import Mapping
from pathlib import PurePath

from pydantic import Field

from mien.config.corpora import CorpusConfig, RenderedCorpus
from mien.config.section import Section
from mien.config.train import Experiment


class Drift(Section):
    """When new faces count as unlike those that the champion was trained on."""

    max_p: float = Field(0.01, gt=0, lt=1)  # of all tests together: the false discovery rate
    min_effect: float = Field(0.25, ge=0, le=1)  # Kolmogorov's D or Cramer's V: many faces make any p small
    min_faces: int = Field(20, ge=5)  # fewer new faces are not tested


class Promotion(Section):
    """A challenger takes the champion's place when all of these hold on the frozen faces."""

    # corpus -> the one on which models trained on it are compared, and which no experiment may read
    frozen: dict[str, str] = Field({})
    min_gain: float = Field(0.0, ge=0, lt=1)  # of mean accuracy
    max_p: float = Field(0.05, gt=0, le=1)  # that a challenger no better would gain as much, over people
    max_class_loss: float = Field(0.05, ge=0, le=1)  # of any class's recall
    challengers: list[str] = Field([])  # experiments that `mien retrain` trains; none: all with frozen faces
    drift: Drift = Drift()


def refuse_seen(
    promotion: Promotion, corpora: Mapping[str, CorpusConfig], experiments: Mapping[str, Experiment]
) -> None:
    """ValueError: a frozen corpus is read by an experiment, or shares pictures or people with another one."""
    for trained, frozen in promotion.frozen.items():
        for name in (trained, frozen):
            if name not in corpora:
                raise ValueError(f"promotion.frozen names {name!r}, which corpora does not have")
    held_out = set(promotion.frozen.values())
    for name, entry in experiments.items():
        for key in ("corpus", "second_corpus"):
            if getattr(entry, key) in held_out:
                raise ValueError(
                    f"experiments.{name}.{key} is {getattr(entry, key)}, on which models are compared "
                    "(promotion.frozen): no training may see it"
                )
    for frozen, other in itertools.product(sorted(held_out), corpora):
        if frozen != other and _share(corpora[frozen], corpora[other]):
            raise ValueError(
                f"corpora.{frozen}, on which models are compared (promotion.frozen), shares pictures or "
                f"people with corpora.{other}; give it its own source or people"
            )
    for name in promotion.challengers:
        if name not in experiments or experiments[name].corpus not in promotion.frozen:
            raise ValueError(
                f"promotion.challengers names {name!r}, which is no experiment on a key of promotion.frozen"
            )


def _share(one: CorpusConfig, other: CorpusConfig) -> bool:
    if isinstance(one, RenderedCorpus) or isinstance(other, RenderedCorpus):
        if not (isinstance(one, RenderedCorpus) and isinstance(other, RenderedCorpus)):
            return False
        apart = (
            one.first_person + one.people <= other.first_person
            or other.first_person + other.people <= one.first_person
        )
        return one.seed == other.seed and not apart
    here, there = PurePath(one.source), PurePath(other.source)
    return here == there or here in there.parents or there in here.parents
