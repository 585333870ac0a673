"""What a profile measures, by hand and on a striped corpus."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mien.evaluation.facts import Layout
from mien.evaluation.profile import PROFILE, labelled, landmark_error, new_rows, pose, profile
from mien.manifest.tables import ALIGNED, write_table
from mien.shards.index import read_index
from tests.striped import write_corpus


def points(nose: float) -> np.ndarray:
    """68 points with the jaw's ends at 10 and 50, the eyes at (20, 20) and (40, 20)."""
    found = np.zeros((1, 68, 2), np.float32)
    found[0, [0, 16, 30, 48, 54]] = [(10, 20), (50, 20), (nose, 30), (22, 40), (38, 40)]
    found[0, 36:42], found[0, 42:48] = (20, 20), (40, 20)
    return found


def test_pose_is_the_nose_off_the_middle() -> None:
    assert pose(points(30)).tolist() == [0.0]
    assert pose(points(40)).tolist() == [0.5]
    assert pose(points(25)).tolist() == [-0.25]


def test_landmark_error_is_in_eye_distances() -> None:
    twice = np.array([[[2.0, 0, 4], [0, 2, -6]]])  # picture px to crop px
    crop = np.array([[(20, 20), (40, 20), (30, 30), (22, 40), (38, 40)]], dtype=float)
    five = (crop - twice[0, :, 2]) / 2
    assert landmark_error(points(30), five, twice) == pytest.approx([0.0])
    five[0, 2] += (5, 0)  # 10 crop px of one point in five, over 20 px
    assert landmark_error(points(30), five, twice) == pytest.approx([10 / 5 / 20])


def test_new_faces_are_those_whose_picture_or_label_was_not_there(tmp_path: Path) -> None:
    shards = write_corpus(tmp_path)
    index = read_index(shards / "striped")
    found = [dict.fromkeys(ALIGNED.names) | {
        "key": key, "box": [0.0, 0.0, 16.0, 25.0], "five": [float(v) for v in range(10)],
        "transform": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
    } for key in index.keys.tolist()]  # fmt: skip
    write_table(pa.Table.from_pylist(found, schema=ALIGNED), tmp_path / "cut" / "part.parquet", ALIGNED)
    layout = Layout(tmp_path, tmp_path / "cut", tmp_path, shards / "striped")
    rows = labelled(index)
    before = profile(layout, index, rows, {index.keys[3]: "happy"})
    assert before.schema == PROFILE
    assert len(before) == len(index)
    assert set(before["face_px"].to_pylist()) == {20.0}
    assert before["predicted"].to_pylist().count(None) == len(index) - 1
    bright = before["brightness"].to_numpy()
    assert bright.min() > 60
    assert bright.max() < 180
    assert new_rows(index, rows, before).tolist() == []

    known = before.slice(2)
    assert new_rows(index, rows, known).tolist() == [0, 1]
    relabelled = before.set_column(
        1, PROFILE.field(1), pa.array(["anger", *before["expression"].to_pylist()[1:]])
    )
    assert new_rows(index, rows, relabelled).tolist() == [0]
