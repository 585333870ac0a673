"""Parts by frame, on a made-up index."""

import numpy as np
import pyarrow as pa
import pytest

from mien.config import MienError
from mien.config.train import Cell
from mien.shards.folds import split_cell
from mien.shards.frames import sequences
from mien.shards.index import INDEX, About, Index


def index_of(tmp_path, *lengths: int, unlabelled: int = 0) -> Index:
    """Sequences of these lengths, rows in an order of their own; of each the first frames may have no label."""
    empty = {"shard": "s", "crop_sha256": "", "json_sha256": "", "points": [0.0] * 136}
    numbers = ("offset", "size", "json_offset", "json_size", "width", "height", "phash", "phash_mirrored")
    rows = [
        {
            **dict.fromkeys(INDEX.names), **empty, **dict.fromkeys(numbers, 0), "group": 0, "fold": 0,
            "key": f"k{number}-{frame}", "sequence": f"q{number}", "frame": frame, "frames": length,
            "expression": None if frame < unlabelled else "happy", "subject": f"p{number}",
        }
        for number, length in enumerate(lengths)
        for frame in range(length)
    ]  # fmt: skip
    order = np.random.default_rng(0).permutation(len(rows))
    table = pa.Table.from_pylist([rows[i] for i in order], INDEX)
    return Index(tmp_path, table, About("toy", 2, "subject", True, 12, 0.99, 2))


def keys(index: Index, rows) -> list[str]:
    return sorted(index.keys[rows].tolist())


def test_the_last_frame_is_learnt_the_four_before_it_are_tested(tmp_path) -> None:
    index = index_of(tmp_path, 8, 5, 4)
    split = split_cell(index, Cell(0, 0, folds_by="frame"), 0.15, 0)
    assert keys(index, split.train) == ["k0-7", "k1-4"]  # the third sequence is too short
    assert keys(index, split.test) == [*(f"k0-{n}" for n in range(3, 7)), *(f"k1-{n}" for n in range(4))]
    assert keys(index, split.validation) == ["k0-2"]
    for part in (split.train, split.validation, split.test):
        assert (np.diff(part) > 0).all()


def test_sequences_are_in_the_order_of_their_frames(tmp_path) -> None:
    index = index_of(tmp_path, 3, 6)
    assert [index.keys[rows].tolist() for rows in sequences(index)] == [
        [f"k0-{n}" for n in range(3)],
        [f"k1-{n}" for n in range(6)],
    ]


def test_a_corpus_whose_early_frames_have_no_label_is_refused_by_name(tmp_path) -> None:
    with pytest.raises(MienError, match="0 labelled sequences of 5 frames"):
        split_cell(index_of(tmp_path, 8, unlabelled=5), Cell(0, 0, folds_by="frame"), 0.15, 0)
