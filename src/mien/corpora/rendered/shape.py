"""From numbers about a person and their facial actions to the vertices of the head."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mien.config.errors import MienError
from mien.corpora.rendered.actions import PLACE
from mien.corpora.rendered.arrays import Floats, floats
from mien.corpora.rendered.basis import (
    AGES,
    ANCESTRAL,
    GENDERS,
    MUSCLES,
    RACES,
    UNIVERSAL,
    WEIGHTS,
    Basis,
)

MACRO = ("gender", "age", "muscle", "weight", *RACES)
"""What `macro` may hold: gender 0 male to 1 female, age 0 young (25) to 1 old (90), the rest from 0 to 1."""


def _between(value: float, names: tuple[str, ...]) -> dict[str, float]:
    """Weights of linear interpolation between evenly spaced anchors over [0, 1]."""
    at = min(max(value, 0.0), 1.0) * (len(names) - 1)
    return {name: max(0.0, 1.0 - abs(at - k)) for k, name in enumerate(names)}


def neutral_shape(basis: Basis, macro: Mapping[str, float], local: Mapping[str, float]) -> Floats:
    """Vertices (V, 3) of a person at rest, metres. MienError names a local change that the basis lacks."""
    weights = {
        **_between(macro["gender"], GENDERS),
        **_between(macro["age"], AGES),
        **_between(macro["muscle"], MUSCLES),
        **_between(macro["weight"], WEIGHTS),
    }
    shares = sum(macro[r] for r in RACES)
    weights |= {r: macro[r] / shares for r in RACES}
    universal = np.array([np.prod([weights[k] for k in c]) for c in UNIVERSAL], np.float32)
    ancestral = np.array([np.prod([weights[k] for k in c]) for c in ANCESTRAL], np.float32)
    # BLAS rounds a product of this size otherwise on one thread than on several; in halves it never does
    halves = np.split(basis.universal, [len(basis.template) // 2], axis=1)
    mixed = np.concatenate([np.tensordot(universal, half, 1) for half in halves])
    shape = basis.template + mixed + np.tensordot(ancestral, basis.ancestral, 1)
    places = {str(name): k for k, name in enumerate(basis.local_names)}
    for name, value in local.items():
        if name not in places:
            raise MienError(
                f"the head has no local change {name!r}; the installed anny differs from the one used here."
            )
        shape = shape + np.float32(abs(value)) * basis.local_signs[0 if value > 0 else 1, places[name]]
    return floats(shape)


def moved(basis: Basis, actions: Mapping[str, float]) -> NDArray[np.float32]:
    """Displacements (V, 3) of the facial actions, metres."""
    at = [PLACE[name] for name in actions]
    weights = np.array(list(actions.values()), np.float32)
    return np.tensordot(weights, basis.actions[at], 1).astype(np.float32)
