"""Which frames of a sequence carry its label: the papers take the last three, or the three in the middle."""

from collections.abc import Collection

from mien.config.corpora import SequenceCorpus
from mien.corpora.rows import Row
from mien.manifest.expressions import NEUTRAL


def label_frames(rows: list[Row], expression: str | None, config: SequenceCorpus) -> list[Row]:
    """Number the frames of one sequence, given in order, and label the chosen ones.

    `labelled_frames` middle: around frame n // 2 (IDFERM's 0-based n//2-1 to n//2+1 for three). Of a labelled
    sequence the first `neutral_frames` that are not chosen are neutral.
    """
    asked: Collection[str] = config.expressions
    if expression not in asked:
        expression = None
    count = len(rows)
    wanted = min(config.frames_a_sequence, count)
    start = {"last": count - wanted, "middle": max(count // 2 - wanted // 2, 0), "all": 0}[
        config.labelled_frames
    ]
    chosen = range(start, count if config.labelled_frames == "all" else min(start + wanted, count))
    for frame, row in enumerate(rows):
        label = expression if frame in chosen else None
        if label is None and expression is not None and frame < config.neutral_frames:
            label = NEUTRAL
        row |= {"frame": frame, "frames": count, "expression": label}
    return rows
