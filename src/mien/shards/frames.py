"""Parts by frame: what a model says of the frames before the one that it has learnt from.

Fu et al., *Semantic Neighborhood-Aware Deep Facial Expression Recognition*, TIP 2020, section IV-D: train on
the last frame of every sequence, test on the four before it. People stand in all parts; the report says so.
"""

import numpy as np

from mien.config import MienError
from mien.shards.index import Index
from mien.shards.order import Rows

TESTED_FRAMES = 4  # before the last, as in the paper


def frame_parts(index: Index) -> tuple[Rows, Rows, Rows]:
    """Train: the last frame of each labelled sequence. Test: the four before it. Validation: the one before.

    A sequence of which fewer than five frames are left is left out; one of five has no validation frame. All
    frames must carry the sequence's label (`labelled_frames: all`). MienError: no sequence is long enough,
    or none has a frame for validation.
    """
    parts: tuple[list[int], list[int], list[int]] = ([], [], [])
    for rows in sequences(index):
        if len(rows) > TESTED_FRAMES:
            parts[0].append(rows[-1])
            parts[1].extend(rows[-TESTED_FRAMES - 2 : -TESTED_FRAMES - 1])
            parts[2].extend(rows[-TESTED_FRAMES - 1 : -1])
    train, validation, test = (np.array(sorted(part), dtype=np.int64) for part in parts)
    if not len(train) or not len(validation):
        raise MienError(
            f"{index.folder} has {len(train)} labelled sequences of {TESTED_FRAMES + 1} frames or more and "
            f"{len(validation)} longer ones; set folds_by: subject, or label all frames of its sequences."
        )
    return train, validation, test


def sequences(index: Index) -> list[list[int]]:
    """The rows of each sequence whose frames carry one expression, by frame; sequences by name."""
    found: dict[str, list[tuple[int, int]]] = {}
    columns = (index.column("sequence"), index.column("frame"), index.expression)
    for row, (name, frame, expression) in enumerate(zip(*(c.tolist() for c in columns), strict=True)):
        if name is not None and expression is not None:
            found.setdefault(name, []).append((int(frame), row))
    return [_rows(found[name]) for name in sorted(found)]


def _rows(frames: list[tuple[int, int]]) -> list[int]:
    return [row for _, row in sorted(frames)]
