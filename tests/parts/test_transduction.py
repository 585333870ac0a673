"""Predictions by batch leak labels through a sorted order; the refusal, and the figures of `examined`."""

import math

import pytest
import torch
from torch import Tensor

from mien.config import MienError
from mien.parts.association import Graph, adjacency, cosines, propagation
from mien.parts.transduction import by_batches, changed_pairs, examined, refuse_order
from tests import tiny

FACES, CLASSES, SIZE = 840, 7, 64


def toy(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Classes as overlapping clouds: the best classifier of single faces is a good deal from certain."""
    random = torch.Generator().manual_seed(seed)
    label = torch.arange(FACES) % CLASSES
    centres = 1.6 * torch.eye(CLASSES)
    return centres[label] + torch.randn(FACES, CLASSES, generator=random), label


def linked(features: Tensor, label: Tensor) -> Tensor:
    """The mean of the faces that a face is linked to, twice, as the graph convolution gives."""
    p = propagation(adjacency(cosines(features), torch.tensor(0.2), Graph()))
    return p @ (p @ features)


def accuracy(logits: Tensor, label: Tensor) -> float:
    return float((logits.argmax(dim=1) == label).float().mean())


def test_sorted_labels_would_have_gained_more_than_five_points_and_are_refused() -> None:
    features, label = toy()
    shuffled = torch.randperm(FACES, generator=torch.Generator().manual_seed(1))
    ordered = label.argsort(stable=True)
    honest = accuracy(by_batches(linked, features, label, shuffled, SIZE), label)
    leaked = torch.cat([linked(features[rows], label[rows]) for rows in ordered.split(SIZE)])
    assert accuracy(leaked, label[ordered]) > honest + 0.05
    with pytest.raises(MienError, match="the order gives labels away"):
        by_batches(linked, features, label, ordered, SIZE)


def test_partly_clustered_orders_are_refused_and_shuffled_ones_are_not() -> None:
    _, label = toy()
    for seed in range(20):
        order = torch.randperm(FACES, generator=torch.Generator().manual_seed(seed))
        refuse_order(label[order], SIZE)
        clustered = torch.cat(
            [order[: FACES // 2], order[FACES // 2 :][label[order[FACES // 2 :]].argsort()]]
        )
        with pytest.raises(MienError, match="labels away"):
            refuse_order(label[clustered], SIZE)
    refuse_order(torch.tensor([0, 0, 1, 1]), 4)  # one batch of all has no order


def test_answers_come_back_in_the_order_of_the_faces() -> None:
    features, label = toy()
    order = torch.randperm(FACES, generator=torch.Generator().manual_seed(3))
    told = by_batches(lambda f, _: 2 * f, features, label, order, 100)  # the last batch is short
    assert torch.equal(told, 2 * features)


def test_changed_pairs_by_hand() -> None:
    predicted = torch.tensor([0, 0, 1, 1, 1])
    label = torch.tensor([0, 0, 0, 1, 0])
    subject = torch.tensor([5, 5, 5, 5, -1])
    clean = torch.tensor([1, 0, 0, 0, 0])
    assert changed_pairs(predicted, label, subject, clean) == (
        0.5,
        2,
    )  # rows 1 and 2; 3 shows another, 4 who?
    nothing, count = changed_pairs(predicted, label, subject, torch.zeros(5, dtype=torch.int64))
    assert math.isnan(nothing)
    assert count == 0


def test_examined_reads_each_face_once_and_compares_modes() -> None:
    faces = tiny.faces(60)
    batches = [faces.select(range(start, start + 20)) for start in (0, 20, 40)]

    def bright(pixels: Tensor) -> Tensor:
        return pixels.float().mean(dim=(2, 3)) / 255

    modes = {"self": lambda f, _: f, "gallery": lambda f, label: torch.eye(3)[label]}
    figures = examined(batches, bright, modes, lambda f, label: torch.eye(3)[label], 16)
    assert figures["accuracy_gallery"] == figures["accuracy_batch"] == 1.0
    assert figures["accuracy_batch_spread"] == figures["changed_by_batch"] == figures["changed_wild"] == 0.0
    expected = (bright(faces.faces).argmax(dim=1) == faces.label).double().mean()
    assert figures["accuracy_self"] == pytest.approx(float(expected))
    assert figures["clean_faces"] == int((faces.clean == 1).sum())
    assert figures["changed_relit"] == 0.0  # the deployed mode, the last, reads no pixel here
    assert figures["batch_size"] == 16
