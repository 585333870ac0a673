"""What a reader hands to a method: some faces, and what is known of them."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """N faces of one global mini-batch, or this rank's share of them.

    A field that the method does not name in `needs` may be None.
    """

    keys: tuple[str, ...]
    faces: Tensor  # (N, 3, H, W) uint8 RGB crops
    label: Tensor  # (N,) int64: the class; -1 when unknown
    seed: Tensor  # (N,) int64: drawn from (run seed, epoch, key), the source of all augmentation of that face
    subject: Tensor | None = None  # (N,) int64: number of the person within the part; -1 when unknown
    true_label: Tensor | None = None  # (N,) int64: label before label noise; not to learn from
    clean: Tensor | None = None  # (N,) int64: 1 frontal and not in the wild, 0 else, -1 unknown
    points: Tensor | None = None  # (N, 68, 2) float32 in crop px
    total: int = 0  # faces in the global batch, over all ranks
    beside: "Batch | None" = None  # of another corpus, where the phase reads two at once

    def __len__(self) -> int:
        return len(self.keys)

    def to(self, device: torch.device) -> "Batch":
        """Copy every tensor to a device, without waiting where memory is pinned."""
        moved = {
            f.name: getattr(self, f.name).to(device, non_blocking=True)
            for f in fields(self)
            if isinstance(getattr(self, f.name), Tensor)
        }
        return replace(self, **moved, beside=self.beside and self.beside.to(device))

    def select(self, rows: Sequence[int] | Tensor) -> "Batch":
        """The batch of these rows, in this order; `total` becomes their number."""
        index = torch.as_tensor(rows, dtype=torch.long)
        taken = {
            f.name: getattr(self, f.name)[index]
            for f in fields(self)
            if isinstance(getattr(self, f.name), Tensor)
        }
        return replace(self, keys=tuple(self.keys[i] for i in index.tolist()), total=len(index), **taken)
