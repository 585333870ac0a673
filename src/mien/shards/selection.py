"""The rows that a reader serves, and all of a Batch but its pixels."""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mien.config import MienError
from mien.shards.batch import Batch
from mien.shards.index import Index
from mien.shards.order import Rows, face_seeds, key_hashes

FRONTAL, WILD = "frontal", "wild"
"""The corpora's words, of `view` and `condition`, that tell clean frontal faces from others."""

_KNOWN = frozenset(f.name for f in fields(Batch))


class Selection:
    """Some rows of an index, in ascending order, with labels; positions count within them.

    label "expression": the number of the class within `classes`; "subject": the number of the person within
    these rows; -1 where unknown. `needs` are Batch fields, and what it lacks is not loaded. `shown`: the
    expression of every row of the index as it is to be read (label noise); None: the index's own.
    """

    def __init__(
        self,
        index: Index,
        rows: Iterable[int] | Rows,
        classes: Sequence[str],
        needs: Iterable[str],
        label: Literal["expression", "subject"],
        shown: NDArray[np.object_] | None = None,
    ) -> None:
        self.index = index
        self.rows: Rows = np.unique(np.fromiter(rows, dtype=np.int64))
        self.needs = frozenset(needs)
        if not len(self.rows):
            raise MienError(
                f"a part of {index.folder} has no faces; make fewer folds or change validation_share."
            )
        if unknown := self.needs - _KNOWN:
            raise ValueError(f"not a field of Batch: {sorted(unknown)[0]}")
        self.keys: list[str] = index.keys[self.rows].tolist()
        self._hashes = key_hashes(self.keys)
        self._true = _classes(index.expression[self.rows], classes)
        read = self._true if shown is None else _classes(shown[self.rows], classes)
        people, self.subject = _numbered(index.subject[self.rows].tolist())
        self.label = self.subject if label == "subject" else read
        self.labels = people if label == "subject" else len(classes)
        self._clean = cleanness(index, self.rows) if "clean" in self.needs else self._true
        self._points = index.points[self.rows] if "points" in self.needs else None
        self._shard = index.column("shard")[self.rows]
        self.height, self.width = self._side("height"), self._side("width")

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, positions: Rows, faces: Tensor, seed: int, epoch: int, total: int) -> Batch:
        """The Batch of these positions around decoded faces."""
        return Batch(
            keys=tuple(self.keys[i] for i in positions.tolist()),
            faces=faces,
            label=torch.from_numpy(self.label[positions]),
            seed=torch.from_numpy(face_seeds(self._hashes[positions], seed, epoch)),
            subject=torch.from_numpy(self.subject[positions]) if "subject" in self.needs else None,
            true_label=torch.from_numpy(self._true[positions]) if "true_label" in self.needs else None,
            clean=torch.from_numpy(self._clean[positions]) if "clean" in self.needs else None,
            points=None if self._points is None else torch.from_numpy(self._points[positions]),
            total=total,
        )

    def shard(self, position: int) -> str:
        """File name of the tar that holds a position."""
        return str(self._shard[position])

    def _side(self, name: str) -> int:
        sides = np.unique(self.index.column(name)[self.rows])
        if len(sides) > 1:
            raise MienError(
                f"{self.index.folder} holds crops of {name} {sides[0]} and {sides[-1]} px; align again."
            )
        return int(sides[0])


def cleanness(index: Index, rows: Rows) -> NDArray[np.int64]:
    """(N,) as in Batch.clean: 1 frontal and not in the wild, 0 else, -1 unknown."""
    views, conditions = index.column("view")[rows].tolist(), index.column("condition")[rows].tolist()
    return np.array(
        [
            -1 if view is None else int(view == FRONTAL and condition != WILD)
            for view, condition in zip(views, conditions, strict=True)
        ],
        dtype=np.int64,
    )


def _numbered(names: list[str | None]) -> tuple[int, NDArray[np.int64]]:
    people = {name: i for i, name in enumerate(sorted({n for n in names if n is not None}))}
    return len(people), np.array([-1 if n is None else people[n] for n in names], dtype=np.int64)


def _classes(expressions: NDArray[np.object_], classes: Sequence[str]) -> NDArray[np.int64]:
    number = {name: i for i, name in enumerate(classes)}
    return np.array([number.get(e, -1) for e in expressions.tolist()], dtype=np.int64)
