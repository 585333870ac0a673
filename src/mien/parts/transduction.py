"""Predictions that rest on other faces of the test part, measured; and how steady predictions are."""

import math
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

from mien.config import MienError
from mien.parts.invariance import occluded, relit
from mien.shards.batch import Batch

ORDERS = 5  # shuffled orders of the test part
CLUSTERED = 0.05  # by how much equal labels may stand together more often than in a shuffled order

Logits = Callable[[Tensor, Tensor], Tensor]
"""Features (N, D) and labels (N,), which only an oracle may look at, to logits (N, C)."""


def refuse_order(label: Tensor, size: int) -> None:
    """Refuse test batches whose faces have equal labels more often than shuffling gives.

    label (N,) in the order of evaluation, size: of a batch. A method that links the faces of a batch gains
    from such an order what no single face can know. MienError says by how much it is clustered.
    """
    pairs = same = 0
    for start in range(0, len(label), size):
        part = label[start : start + size]
        counts = torch.bincount(part)
        pairs += len(part) * (len(part) - 1)
        same += int((counts * (counts - 1)).sum())
    counts, total = torch.bincount(label), len(label)
    chance = float((counts * (counts - 1)).sum()) / max(total * (total - 1), 1)
    found = same / max(pairs, 1)
    if pairs and found > chance + CLUSTERED:
        raise MienError(
            f"{found:.0%} of the pairs in a test batch have one label, by chance it would be {chance:.0%}: "
            "the order gives labels away, so predictions by batch are refused; shuffle the test part."
        )


def by_batches(logits: Logits, features: Tensor, label: Tensor, order: Tensor, size: int) -> Tensor:
    """Logits (N, C), in the order of `features`, of faces that are predicted in batches along `order` (N,).

    The last batch may be short. MienError: the order is clustered by label.
    """
    refuse_order(label[order], size)
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    parts = [logits(features[rows], label[rows]) for rows in batches]
    told = torch.cat(parts)
    return torch.empty_like(told).index_copy_(0, order, told)


def changed_pairs(predicted: Tensor, label: Tensor, subject: Tensor, clean: Tensor) -> tuple[float, int]:
    """Of all pairs of a clean frontal face and another picture of the same person and expression, the share
    whose predicted classes differ, and the number of pairs; nan where there is none.

    predicted, label, subject (N,) int64; clean (N,): 1 clean and frontal, 0 not, -1 unknown.
    """
    alike = (label[:, None] == label) & (subject[:, None] == subject) & (subject >= 0)
    pairs = alike & (clean[:, None] == 1) & (clean == 0)
    count = int(pairs.sum())
    differ = int((pairs & (predicted[:, None] != predicted)).sum())
    return differ / count if count else math.nan, count


def examined(
    batches: Iterable[Batch],
    features_of: Callable[[Tensor], Tensor],
    modes: Mapping[str, Logits],
    linked: Logits | None,
    size: int,
) -> dict[str, float]:
    """Figures of a test part, which is read once: each mode's accuracy, and how often predictions change.

    features_of: faces (n, 3, H, W) -> (n, D). modes: name -> logits, the deployed one last. linked: logits of
    faces linked within a batch of `size`; its accuracy is a mean over ORDERS shuffled orders. `changed_*`:
    share of clean frontal faces whose class differs from that of their occluded or relit copy, and of pairs
    with another picture of the same person and expression (`changed_wild`).
    """
    parts: list[tuple[Tensor, ...]] = []
    copies: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    for batch in batches:
        assert batch.subject is not None
        assert batch.clean is not None
        parts.append((features_of(batch.faces), batch.label, batch.subject, batch.clean))
        if (batch.clean == 1).any():
            own, rows = batch.faces.float(), batch.clean == 1
            hidden, lit = (features_of(change(own[rows], batch.seed[rows])) for change in (occluded, relit))
            copies.append((parts[-1][0][rows], hidden, lit, batch.label[rows]))
    features, label, subject, clean = (torch.cat(part) for part in zip(*parts, strict=True))
    classes = {name: mode(features, label).argmax(dim=1) for name, mode in modes.items()}
    figures = {f"accuracy_{name}": share(told == label) for name, told in classes.items()}
    last = list(modes)[-1]
    if linked is not None:
        figures |= _shuffled(linked, features, label, size, classes[last])
    figures["changed_wild"], figures["pairs_wild"] = changed_pairs(classes[last], label, subject, clean)
    if copies:
        plain, hidden, lit, own_label = (torch.cat(part) for part in zip(*copies, strict=True))
        before = modes[last](plain, own_label).argmax(dim=1)
        for name, changed in (("occluded", hidden), ("relit", lit)):
            figures[f"changed_{name}"] = share(modes[last](changed, own_label).argmax(dim=1) != before)
        figures["clean_faces"] = len(plain)
    return figures


def _shuffled(
    linked: Logits, features: Tensor, label: Tensor, size: int, deployed: Tensor
) -> dict[str, float]:
    right, changed = [], []
    for seed in range(ORDERS):
        order = torch.randperm(len(label), generator=torch.Generator().manual_seed(seed)).to(label.device)
        told = by_batches(linked, features, label, order, size).argmax(dim=1)
        right.append(share(told == label))
        changed.append(share(told != deployed))
    accuracy = torch.tensor(right, dtype=torch.float64)
    return {
        "accuracy_batch": float(accuracy.mean()),
        "accuracy_batch_spread": float(accuracy.std()),
        "changed_by_batch": sum(changed) / len(changed),
        "batch_size": size,
    }


def share(told: Tensor) -> float:
    """How many of (N,) bools are true, as a share."""
    return float(told.double().mean())
