import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from mien.cli import answers
from mien.cli.answers import refuse_other_suffix, to_file, to_screen
from mien.config import MienError

CLASSES = ("happy", "sad")


def row(
    picture: str, happy: float | None, frame: int | None = None, reason: str | None = None
) -> dict[str, Any]:
    shares = None if happy is None else {"happy": happy, "sad": 1 - happy}
    best = None if happy is None else ("happy" if happy > 0.5 else "sad")
    return {
        "picture": picture,
        "frame": frame,
        "time_s": None if frame is None else frame / 10,
        "expression": best,
        "probabilities": shares,
        "reason": reason,
        "box": None if happy is None else [1.0, 2.0, 3.5, 4.0],
        "points": None if happy is None else [[k, k + 0.5] for k in range(68)],
        "score": None if happy is None else 0.9,
        "smoothed": shares if frame is not None else None,
        "smoothed_expression": best if frame is not None else None,
    }


ROWS = [
    row("a, b.jpg", 0.75),
    row("c.jpg", None, reason="no face"),
    row("v.mp4", 0.25, 0),
    row("v.mp4", None, 1, "no face"),
]


@pytest.mark.parametrize("suffix", answers.SUFFIXES)
def test_a_file_has_every_row(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "ROWS_HELD", 3)
    path = tmp_path / f"out{suffix}"
    with to_file(path, CLASSES) as out:
        for told in ROWS:
            assert not path.exists()
            out.add(told)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    if suffix == ".json":
        assert json.loads(path.read_text()) == ROWS
        return
    if suffix == ".csv":
        read: list[dict[str, Any]] = list(csv.DictReader(io.StringIO(path.read_text())))
    else:
        read = pq.read_table(path).to_pylist()
        assert read[0]["points"][:4] == [0, 0.5, 1, 1.5]
        assert read[1]["points"] is None
        assert pq.ParquetFile(path).num_row_groups == 2
    empty = "" if suffix == ".csv" else None
    assert [r["picture"] for r in read] == [r["picture"] for r in ROWS]
    assert [r["reason"] or None for r in read] == [None, "no face", None, "no face"]
    assert (float(read[0]["happy"]), float(read[0]["sad"]), float(read[0]["right"])) == (0.75, 0.25, 3.5)
    assert (read[0]["frame"], read[0]["smoothed_happy"], read[1]["happy"]) == (empty, empty, empty)
    assert (int(read[2]["frame"]), float(read[3]["time_s"]), float(read[2]["smoothed_sad"])) == (0, 0.1, 0.75)


@pytest.mark.parametrize("suffix", answers.SUFFIXES)
def test_what_fails_leaves_the_file_as_it_was(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"out{suffix}"
    path.write_text("of yesterday")

    def fail() -> None:
        with to_file(path, CLASSES) as out:
            out.add(ROWS[0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "of yesterday"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(MienError, match=r"out.txt must end in .csv, .json or .parquet"):
        refuse_other_suffix(tmp_path / "out.txt")
    for suffix in answers.SUFFIXES:
        with pytest.raises(MienError, match="cannot be written"):
            to_file(tmp_path / "nowhere" / f"out{suffix}", CLASSES)


def test_json_on_the_screen_is_an_array(capsys: pytest.CaptureFixture[str]) -> None:
    with to_screen(as_json=True):
        pass
    assert json.loads(capsys.readouterr().out) == []
    with to_screen(as_json=True) as out:
        for told in ROWS:
            out.add(told)
    assert json.loads(capsys.readouterr().out) == ROWS


def test_the_table_has_a_line_a_picture_and_one_a_video(capsys: pytest.CaptureFixture[str]) -> None:
    with to_screen(as_json=False) as out:
        for told in [
            *ROWS,
            row("v.mp4", None, reason="breaks off: 2 of about 9 frames were read"),
            row("w.mp4", 0.9, 0),
        ]:
            out.add(told)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()[1:]]
    assert lines == [
        "a, b.jpg happy happy 75%, sad 25%",
        "c.jpg no face",
        "v.mp4 2 frames sad 50%, no face 50%",
        "v.mp4 breaks off: 2 of about 9 frames were read",
        "w.mp4 1 frames happy 100%",
    ]
