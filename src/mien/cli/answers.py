"""Rows of `mien predict` on their way out: a file of CSV, JSON or Parquet, JSON on the screen, or a table."""

import csv
import json
import sys
from abc import ABC, abstractmethod
from collections import Counter
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from mien.config import MienError

SUFFIXES = (".csv", ".json", ".parquet")
ROWS_HELD = 512  # of a Parquet file's row group
_PLACES = ("left", "top", "right", "bottom")
Row = dict[str, Any]


class Answers(AbstractContextManager["Answers"], ABC):
    """Takes rows one by one and holds no more than it must. A file has its name only once it is whole."""

    @abstractmethod
    def add(self, row: Row) -> None:
        """Take the next row."""

    @abstractmethod
    def finish(self) -> None:
        """All rows are in."""

    def drop(self) -> None:
        """Forget what was begun: something failed."""
        return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish() if kind is None else self.drop()


class _JsonAnswers(Answers):
    """A JSON array, a row a line."""

    def __init__(self, file: TextIO) -> None:
        self._file, self._rows = file, 0

    def add(self, row: Row) -> None:
        self._file.write(("[\n" if self._rows == 0 else ",\n") + json.dumps(row))
        self._rows += 1

    def finish(self) -> None:
        self._file.write("[]\n" if self._rows == 0 else "\n]\n")


class _CsvAnswers(Answers):
    """A table for spreadsheets: a column an expression; the 68 points are left to JSON and Parquet."""

    def __init__(self, file: TextIO, classes: tuple[str, ...]) -> None:
        self._writer = csv.DictWriter(file, list(_columns(classes)), lineterminator="\n")
        self._writer.writeheader()
        self._classes = classes

    def add(self, row: Row) -> None:
        self._writer.writerow(_flat(row, self._classes))

    def finish(self) -> None:
        return


class _ParquetAnswers(Answers):
    """The same columns with their types, and `points`: 136 numbers x, y, x, y, ..."""

    def __init__(self, path: Path, classes: tuple[str, ...]) -> None:
        columns = [pa.field(name, kind) for name, kind in _columns(classes).items()]
        self._schema = pa.schema([*columns, pa.field("points", pa.list_(pa.float32()))])
        self._writer = pq.ParquetWriter(path, self._schema)
        self._classes = classes
        self._held: list[Row] = []

    def add(self, row: Row) -> None:
        points = row["points"] and [value for point in row["points"] for value in point]
        self._held.append(_flat(row, self._classes) | {"points": points})
        if len(self._held) == ROWS_HELD:
            self._flush()

    def finish(self) -> None:
        self._flush()
        self._writer.close()

    def drop(self) -> None:
        self._writer.close()

    def _flush(self) -> None:
        self._writer.write_table(pa.Table.from_pylist(self._held, self._schema))
        self._held = []


class _FileAnswers(Answers):
    """Begun beside the file, and renamed when it is whole."""

    def __init__(self, path: Path, classes: tuple[str, ...]) -> None:
        self._path, self._scratch = path, path.with_name(f".{path.name}.part")
        self._file: TextIO | None = None
        try:
            if path.suffix == ".parquet":
                self._rows: Answers = _ParquetAnswers(self._scratch, classes)
                return
            self._file = self._scratch.open("w", encoding="utf-8", newline="")
        except OSError as error:
            raise MienError(f"{path} cannot be written ({error.strerror}); name another --out.") from error
        self._rows = _JsonAnswers(self._file) if path.suffix == ".json" else _CsvAnswers(self._file, classes)

    def add(self, row: Row) -> None:
        self._rows.add(row)

    def finish(self) -> None:
        self._rows.finish()
        if self._file is not None:
            self._file.close()
        self._scratch.replace(self._path)

    def drop(self) -> None:
        self._rows.drop()
        if self._file is not None:
            self._file.close()
        self._scratch.unlink(missing_ok=True)


class _TableAnswers(Answers):
    """A line a picture, and one a video: how many of its frames show what."""

    def __init__(self) -> None:
        self._lines: list[list[str]] = []
        self._video: str | None = None
        self._frames: Counter[str] = Counter()

    def add(self, row: Row) -> None:
        if row["picture"] != self._video or row["frame"] is None:
            self._end_video()
        if row["frame"] is not None:
            self._video = row["picture"]
            self._frames[row["smoothed_expression"] or row["reason"]] += 1
            return
        best = sorted((row["probabilities"] or {}).items(), key=lambda p: -p[1])[:3]
        shares = ", ".join(f"{name} {probability:.0%}" for name, probability in best)
        self._lines.append([row["picture"], row["expression"] or row["reason"], shares])

    def finish(self) -> None:
        from rich.console import Console
        from rich.table import Table

        self._end_video()
        table = Table("picture", "expression", "probabilities", box=None, pad_edge=False)
        for line in self._lines:
            table.add_row(*line)
        Console(width=None if sys.stdout.isatty() else 160).print(table)

    def _end_video(self) -> None:
        if self._video is not None:
            total = self._frames.total()
            shares = ", ".join(f"{name} {count / total:.0%}" for name, count in self._frames.most_common(4))
            self._lines.append([self._video, f"{total} frames", shares])
        self._video, self._frames = None, Counter()


def to_file(path: Path, classes: tuple[str, ...]) -> Answers:
    """Into a file of the kind that its suffix names. MienError: another suffix, or no such folder."""
    return _FileAnswers(path, classes)


def to_screen(as_json: bool) -> Answers:
    """To standard output."""
    return _JsonAnswers(sys.stdout) if as_json else _TableAnswers()


def refuse_other_suffix(path: Path) -> None:
    """MienError unless the suffix is one that can be written."""
    if path.suffix not in SUFFIXES:
        raise MienError(f"--out {path} must end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}.")


def _columns(classes: tuple[str, ...]) -> dict[str, pa.DataType]:
    text, number = pa.string(), pa.float64()
    told = {"picture": text, "frame": pa.int64(), "time_s": number, "expression": text, "reason": text}
    places = dict.fromkeys(("score", *_PLACES, *classes), number)
    return told | places | {"smoothed_expression": text} | {f"smoothed_{c}": number for c in classes}


def _flat(row: Row, classes: tuple[str, ...]) -> Row:
    told = {name: row[name] for name in ("picture", "frame", "time_s", "expression", "reason", "score")}
    box = dict(zip(_PLACES, row["box"] or (None,) * 4, strict=True))
    shares = {name: (row["probabilities"] or {}).get(name) for name in classes}
    smoothed = {f"smoothed_{name}": (row["smoothed"] or {}).get(name) for name in classes}
    return told | box | shares | {"smoothed_expression": row["smoothed_expression"]} | smoothed
