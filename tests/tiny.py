"""Small faces, a reader over memory, and small settings: what tests of methods and training share."""

import importlib
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from mien import methods
from mien.config import parse_section
from mien.methods.contract import Method, Phase
from mien.shards.batch import Batch
from mien.training.step import step as take_step

CLASSES = ("neutral", "happy", "sad")


def settings(name: str) -> dict[str, Any]:
    """TINY of tests/methods/test_NAME.py: at which the method takes a step in well under a second."""
    try:
        return dict(importlib.import_module(f"tests.methods.test_{name}").TINY)
    except (ImportError, AttributeError) as error:
        pytest.fail(f"tests/methods/test_{name}.py must define TINY, the settings of a tiny {name} ({error})")


def build(name: str, classes: tuple[str, ...] = CLASSES, seed: int = 0, **changed: Any) -> Method:
    if methods.method_class(name).scores:
        classes = classes[:1]  # a one-class method is built with the normal class alone
    config = parse_section(methods.method_class(name).Config, {**settings(name), **changed}, "TINY", name)
    torch.manual_seed(seed)  # last: to import a test module may draw numbers
    return methods.build(name, config, classes)


def faces(count: int, classes: int = len(CLASSES), side_px: int = 40, seed: int = 0) -> Batch:
    """Faces of which each class has its own pattern under noise; label i % classes, person i // classes."""
    random = torch.Generator().manual_seed(seed)
    label = torch.arange(count) % classes
    patterns = torch.randint(0, 256, (classes, 3, 5, 5), generator=torch.Generator().manual_seed(99)).float()
    pixels = torch.nn.functional.interpolate(patterns[label], size=(side_px, side_px), mode="bicubic")
    pixels = pixels + 25 * torch.randn(pixels.shape, generator=random)
    shape = torch.randn((classes, 68, 2), generator=torch.Generator().manual_seed(98))
    points = side_px / 2 + 6 * shape[label] + torch.randn((count, 68, 2), generator=random)
    keys = tuple(f"face-{seed}-{i}" for i in range(count))
    seeds = torch.randint(-(2**62), 2**62, (count,), generator=random)
    known = {"subject": label.clone(), "true_label": label.clone(), "clean": torch.arange(count) // 2 % 2}
    return Batch(keys, pixels.clamp(0, 255).byte(), label, seeds, points=points, total=count, **known)


class MemoryReader:
    """A reader over one batch, with the promises of those in mien.shards."""

    def __init__(self, all_faces: Batch, label: str = "expression") -> None:
        self.faces = replace(all_faces, label=all_faces.subject) if label == "subject" else all_faces
        self.labels = int(self.faces.label.max()) + 1

    def __len__(self) -> int:
        return len(self.faces)

    def batches(
        self, batch_size: int, seed: int, epoch: int, rank: int = 0, world: int = 1, start: int = 0
    ) -> Iterator[Batch]:
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed * 1009 + epoch))
        own = batch_size // world
        for step in range(start, len(self) // batch_size):
            first = step * batch_size + rank * own
            part = self.faces.select(order[first : first + own])
            yield replace(part, seed=part.seed * 31 + epoch, total=batch_size)

    def in_order(self, batch_size: int, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        for rows in torch.arange(rank, len(self), world).split(batch_size):
            yield self.faces.select(rows)


def readers(train: int = 20, validation: int = 9) -> Any:
    """Readers for `fit`: 20 training and 9 validation faces."""
    parts = {"train": faces(train, seed=1), "validation": faces(validation, seed=2)}
    return lambda phase, part: MemoryReader(parts[part], phase.label)


def gradient_phases(method: Method) -> list[Phase]:
    return [phase for phase in method.phases() if not phase.fits]


def enter(method: Method, wanted: Phase, labels: int = len(CLASSES)) -> None:
    """Start a phase, after starting, solving and finishing those before it; freeze what it does not move."""
    seen = faces(12, seed=11)
    with torch.no_grad():
        for phase in method.phases():
            method.start(phase, labels)
            if phase == wanted:
                break
            if phase.fits:
                method.eval().fit([seen], phase)
            method.finish(phase)
        method.eval().refresh(lambda: [seen], wanted, 0)
    moved = {id(p) for turn in method.turns(wanted, 0) for p in method.moved_by(wanted, turn)}
    for parameter in method.parameters():
        parameter.requires_grad_(id(parameter) in moved)


def trained(name: str, count: int = 12, **changed: Any) -> Method:
    """A method whose weights are not those it starts with."""
    method = build(name, **changed)
    for phase in method.phases():
        enter(method, phase)
        if phase.fits:
            method.fit([faces(count)], phase)
        else:
            optimizers = {t: method.optimizer(phase, t) for t in method.turns(phase, 0)}
            take_step(method.train(), method, faces(count), phase, 0, optimizers, nullcontext())
        method.finish(phase)
    return method.eval()


def same_state(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)
