"""Schemas of the tables between stages, and how they reach the disk: whole or not at all."""

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mien.config.errors import MienError

KEY = r"[a-z0-9_-]+"
"""What a key may be made of: a WebDataset reader splits names at the first dot."""

GROUP = 8192
"""Rows that a table which is written piece by piece holds before they go to the disk together."""

_GATED = "mien.gated"
_POINTS_68 = pa.list_(pa.float32(), 136)

MANIFEST = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),  # KEY, unique over the corpus
        pa.field("path", pa.string(), nullable=False),  # relative to the corpus root
        pa.field("offset", pa.int64()),  # bytes of the picture inside `path`; null: the whole file
        pa.field("size", pa.int64()),
        pa.field("sha256", pa.string()),  # of the picture's bytes; null when they could not be read
        pa.field("corpus", pa.string(), nullable=False),
        pa.field("expression", pa.string()),  # canonical, or null
        pa.field("votes", pa.list_(pa.float32())),  # one per canonical expression, or null
        pa.field("subject", pa.string()),  # null when unknown
        pa.field("sequence", pa.string()),
        pa.field("frame", pa.int32()),  # 0-based
        pa.field("frames", pa.int32()),
        pa.field("view", pa.string()),  # the corpus's word for it, e.g. frontal
        pa.field("yaw", pa.float32()),  # degrees, positive: the person turns towards their own left
        pa.field("split", pa.string()),  # the official one: train, validation, test
        pa.field("box", pa.list_(pa.float32(), 4)),  # left, top, right, bottom in picture px
        pa.field("points", _POINTS_68),  # 68 iBUG points x0, y0, x1, ... in picture px, given with the corpus
        pa.field(
            "attributes", pa.string()
        ),  # JSON: intensity, action units, condition and whatever else a corpus knows
        pa.field("reject", pa.string()),  # why the row takes no further part; null: it does
    ]
)

ALIGNED = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("crop", pa.binary()),  # encoded JPEG or PNG; null when rejected
        pa.field("transform", pa.list_(pa.float64(), 6)),  # 2x3 row-major: picture px -> crop px
        pa.field("box", pa.list_(pa.float32(), 4)),  # in picture px
        pa.field("score", pa.float32()),
        pa.field(
            "five", pa.list_(pa.float32(), 10)
        ),  # eyes, nose, mouth corners (the picture's left first), picture px
        pa.field("picture_width", pa.int32()),
        pa.field("picture_height", pa.int32()),
        pa.field("reject", pa.string()),
    ]
)

LANDMARKS = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("points", _POINTS_68),  # in crop px; null when rejected
        pa.field("reject", pa.string()),
    ]
)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give a scratch path beside `path` that takes its place only if the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    scratch = Path(name)
    try:
        yield scratch
        with scratch.open("rb") as file:
            os.fsync(file.fileno())
        scratch.chmod(0o644)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """The digest of a file's bytes, as hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_table(table: pa.Table, path: Path, schema: pa.Schema, gated: bool = False) -> None:
    """Write a table as Parquet under its schema; byte-identical for equal rows.

    gated: the corpus's owner limits what may be done with its pictures; the file says so (`is_gated`).
    """
    write_tables([table], path, schema, gated)


def write_tables(tables: Iterable[pa.Table], path: Path, schema: pa.Schema, gated: bool = False) -> None:
    """Write tables one after another as one, as `write_table` does; at most about GROUP rows are held."""
    # Arrow 25 cannot read a null among lists of a fixed length (apache/arrow issue 35692): without its
    # own schema they come back as lists of any length, and read_table gives them their length again
    with (
        whole(path) as scratch,
        pq.ParquetWriter(scratch, schema, compression="zstd", store_schema=False) as writer,
    ):
        for group in in_groups(table.cast(schema) for table in tables):
            writer.write_table(group, row_group_size=2 * GROUP)  # a table that comes whole is parted here
        if gated:
            writer.add_key_value_metadata({_GATED: "true"})


def in_groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in fewer tables, of GROUP rows or a few more each."""
    held: list[pa.Table] = []
    for table in tables:
        held.append(table)
        if sum(map(len, held)) >= GROUP:
            yield _joined(held)
            held.clear()
    if held:
        yield _joined(held)


def _joined(tables: list[pa.Table]) -> pa.Table:
    return tables[0] if len(tables) == 1 else pa.concat_tables(tables).combine_chunks()


def is_gated(path: Path) -> bool:
    """Whether a table that `write_table` wrote is of a gated corpus."""
    return _GATED.encode() in (pq.read_metadata(path).metadata or {})


def read_table(path: Path, schema: pa.Schema, columns: list[str] | None = None) -> pa.Table:
    """Read one Parquet file, or all `*.parquet` of a folder in name order, and check its columns.

    MienError names the file when it is missing or is not such a table.
    """
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise MienError(f"{path} is missing; run the stage that makes it (`dvc repro`).")
    tables = []
    for file in files:
        with _readable(file):
            table = pq.read_table(file, columns=columns)
        tables.append(_checked(table, file, schema, columns or schema.names))
    return pa.concat_tables(tables)


class RowReader:
    """Some columns of one Parquet file, read by row number; the file itself stays on disk.

    Threads may share it. Two row groups are held, as those who ask mostly ask for rows near the last ones.
    MienError as of `read_table`.
    """

    def __init__(self, path: Path, schema: pa.Schema, columns: Sequence[str]) -> None:
        self._path, self._schema, self._columns = path, schema, list(columns)
        with _readable(path):
            about = pq.read_metadata(path)
        self._ends = np.cumsum([0, *(about.row_group(k).num_rows for k in range(about.num_row_groups))])
        self._group = lru_cache(maxsize=2)(self._read)

    def take(self, rows: NDArray[np.int64]) -> pa.Table:
        """These rows, at least one, in this order."""
        group = np.searchsorted(self._ends, rows, side="right") - 1
        parts, places = [], []
        for number in np.unique(group).tolist():
            here = np.flatnonzero(group == number)
            parts.append(self._group(number).take(pa.array(rows[here] - self._ends[number])))
            places.append(here)
        return pa.concat_tables(parts).take(pa.array(np.argsort(np.concatenate(places))))

    def _read(self, number: int) -> pa.Table:
        with _readable(self._path), pq.ParquetFile(self._path) as file:
            table = file.read_row_group(number, columns=self._columns)
        return _checked(table, self._path, self._schema, self._columns)


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowInvalid, OSError) as error:
        raise MienError(
            f"{file} is not a readable Parquet table ({error}); delete it and run `dvc repro`."
        ) from error


def _checked(table: pa.Table, file: Path, schema: pa.Schema, names: list[str]) -> pa.Table:
    """A table that was read, under its schema."""
    if lacking := set(names) - set(table.column_names):
        raise MienError(f"{file} lacks the column {sorted(lacking)[0]}; delete it and run `dvc repro`.")
    wanted = pa.schema([schema.field(name) for name in names])
    try:
        return table.select(names).cast(wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise MienError(
            f"{file} is not of this version of mien ({error}); delete it and run `dvc repro`."
        ) from error
