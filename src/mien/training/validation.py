"""How good a method is on held-out faces, in the middle of training."""

from collections.abc import Iterator
from typing import Literal, Protocol

import torch
from torch import Tensor

from mien.methods.contract import Method, Phase
from mien.shards.batch import Batch
from mien.training.ranks import rank_and_world, share_buffers, sum_over_ranks

Part = Literal["train", "validation"]


class Reader(Protocol):
    """What the loop asks of a reader; both readers of `mien.shards` answer."""

    @property
    def labels(self) -> int:
        """How many different labels there are."""

    def __len__(self) -> int:
        """How many faces there are, over all ranks."""

    def batches(
        self, batch_size: int, seed: int, epoch: int, rank: int = 0, world: int = 1, start: int = 0
    ) -> Iterator[Batch]:
        """One shuffled epoch in this rank's shares of global batches, from step `start`."""

    def in_order(self, batch_size: int, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """Every face once over the ranks."""


class Readers(Protocol):
    """Gives the loop the faces of a phase."""

    def __call__(self, phase: Phase, part: Part) -> Reader:
        """The reader of the training or validation part that this phase sees."""


def validate(
    method: Method,
    phase: Phase,
    reader: Reader,
    batch_size: int,
    device: torch.device,
    autocast: torch.autocast,
) -> dict[str, float]:
    """Loss, accuracy and mean accuracy (over labels) of a phase on held-out faces, over all ranks.

    Weighted by faces: neither batch size nor the number of ranks moves them. Leaves the method in eval mode.
    """
    share_buffers(method)
    method.eval()
    rank, world = rank_and_world()
    labels = len(method.classes) if phase.label == "expression" else reader.labels
    right, seen = (torch.zeros(labels, dtype=torch.float64, device=device) for _ in range(2))
    loss = torch.zeros(2, dtype=torch.float64, device=device)  # sum over faces, faces that have one
    with torch.no_grad():
        for local in reader.in_order(batch_size, rank, world):
            batch = local.to(device)
            with autocast:
                terms, scores = method.validate(batch, phase)
            if terms:
                loss[0] += torch.stack(list(terms.values())).sum().double() * len(batch)
                loss[1] += len(batch)
            if scores is not None:
                _count(right, seen, scores, batch.label)
    return _figures(sum_over_ranks(loss), sum_over_ranks(right), sum_over_ranks(seen))


def _count(right: Tensor, seen: Tensor, scores: Tensor, label: Tensor) -> None:
    one = torch.ones(len(label), dtype=torch.float64, device=label.device)
    seen.index_add_(0, label, one)
    right.index_add_(0, label, one * (scores.argmax(dim=1) == label))


def _figures(loss: Tensor, right: Tensor, seen: Tensor) -> dict[str, float]:
    figures = {}
    if loss[1]:
        figures["validation_loss"] = float(loss[0] / loss[1])
    if seen.sum():
        present = seen > 0
        figures["validation_accuracy"] = float(right.sum() / seen.sum())
        figures["validation_mean_accuracy"] = float((right[present] / seen[present]).mean())
    return figures
