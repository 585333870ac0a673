"""The home ground of one-class methods: scikit-learn's 8x8 digits as faces, one class against the rest."""

from functools import cache
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

from mien import methods
from mien.config import parse_section
from mien.methods.contract import Method
from mien.shards.batch import Batch
from mien.training.loop import Options, fit
from tests.tiny import MemoryReader

CLASSES = 10
ENLARGE = 4  # nearest neighbour: 8 -> 32 px
TEST_SHARE, VALIDATION_EVERY = 0.3, 10


def as_faces(rows: np.ndarray) -> Batch:
    """The digits of these rows as grey RGB faces of 32 px; label 0, the same random points on each."""
    count = len(rows)
    pixels = torch.from_numpy(load_digits().images[rows] * 255 / 16).round().to(torch.uint8)
    pixels = pixels.repeat_interleave(ENLARGE, dim=1).repeat_interleave(ENLARGE, dim=2)
    points = 32 * torch.rand((1, 68, 2), generator=torch.Generator().manual_seed(0))
    return Batch(
        keys=tuple(f"digit-{row}" for row in rows),
        faces=pixels[:, None].expand(-1, 3, -1, -1).contiguous(),
        label=torch.zeros(count, dtype=torch.int64),
        seed=torch.from_numpy(rows.astype(np.int64)) * 7919 + 1,
        subject=torch.zeros(count, dtype=torch.int64),
        points=points.expand(count, -1, -1).contiguous(),
        total=count,
    )


@cache
def parts() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows for training, rows of the stratified 30 % test part, and every row's digit."""
    target = load_digits().target
    rows = np.arange(len(target))
    train, test = train_test_split(rows, test_size=TEST_SHARE, stratify=target, random_state=0)
    return train, test, target


def build(name: str, **settings: Any) -> Method:
    """The method with seeded weights and these settings over its own."""
    torch.manual_seed(0)
    kind = methods.method_class(name)
    return methods.build(name, parse_section(kind.Config, settings, "tests", name), ("normal",))


def trained(name: str, digit: int, **settings: Any) -> Method:
    """The method trained on one digit alone: about 113 faces, and 13 more for validation."""
    train, _, target = parts()
    own = train[target[train] == digit]
    held_out = np.arange(len(own)) % VALIDATION_EVERY == 0
    faces = {"train": as_faces(own[~held_out]), "validation": as_faces(own[held_out])}
    method = build(name, **settings)
    fit(method, lambda phase, part: MemoryReader(faces[part]), Options())
    return method


def aucs(name: str, **settings: Any) -> list[float]:
    """AUC of the first alien score for each digit as the normal class: every other digit is alien."""
    _, test, target = parts()
    faces, found = as_faces(test), []
    for digit in range(CLASSES):
        method = trained(name, digit, **settings)
        with torch.no_grad():
            score = method.predict(faces)[:, 0]
        found.append(float(roc_auc_score(target[test] != digit, score.numpy())))
    return found


def mean_auc(name: str, **settings: Any) -> float:
    """Mean over the ten digits."""
    return float(np.mean(aucs(name, **settings)))
