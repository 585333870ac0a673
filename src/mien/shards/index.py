"""The index beside the tars: what every later stage counts by, and where each picture's bytes stand."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mien.config import MienError
from mien.manifest.expressions import classes_of
from mien.manifest.tables import in_groups, read_table, whole

INDEX_FILE, COUNTS_FILE, ORIGIN_FILE = "index.parquet", "counts.json", "origin.json"
_ABOUT = b"mien"
_DIGESTED = 4096  # rows at once

INDEX = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("shard", pa.string(), nullable=False),  # file name of the tar, beside the index
        pa.field("offset", pa.int64(), nullable=False),  # of the picture's bytes in the tar
        pa.field("size", pa.int64(), nullable=False),
        pa.field("json_offset", pa.int64(), nullable=False),
        pa.field("json_size", pa.int64(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),  # of the crop, px
        pa.field("height", pa.int32(), nullable=False),
        pa.field("picture_sha256", pa.string()),  # of the photograph's bytes, from the manifest
        pa.field("crop_sha256", pa.string(), nullable=False),  # of the crop's bytes
        pa.field("json_sha256", pa.string(), nullable=False),
        pa.field("phash", pa.uint64(), nullable=False),  # of the crop
        pa.field("phash_mirrored", pa.uint64(), nullable=False),  # of the crop, left and right exchanged
        pa.field("expression", pa.string()),
        pa.field("subject", pa.string()),
        pa.field("sequence", pa.string()),
        pa.field("frame", pa.int32()),
        pa.field("frames", pa.int32()),
        pa.field("view", pa.string()),
        pa.field("yaw", pa.float32()),
        pa.field("split", pa.string()),
        pa.field("condition", pa.string()),  # how the picture was taken, in the corpus's words: lab, wild
        pa.field("points", pa.list_(pa.float32(), 136), nullable=False),  # crop px
        pa.field("group", pa.int32(), nullable=False),  # never parted: a person, or what stands for one
        pa.field("fold", pa.int32(), nullable=False),
    ]
)


@dataclass(frozen=True)
class About:
    """How the folds were made; stored inside the index."""

    corpus: str
    folds: int
    by: str  # `shard.by`: subject or picture
    subjects_known: bool  # False: near-duplicate groups stand in for unknown people
    phash_distance: int
    near_duplicate_correlation: float
    picture_folds: int  # of experiments whose `folds_by` is picture


@dataclass(frozen=True)
class Origin:
    """Where the tars of a folder lie that holds none; stored beside the index as ORIGIN_FILE."""

    address: str  # s3://bucket/prefix
    cache_mb: int  # of this machine's disk that tars may take


@dataclass(frozen=True)
class Index:
    """All faces of one shard folder, in the order of the tars; row numbers mean rows of `table`."""

    folder: Path
    table: pa.Table
    about: About
    origin: Origin | None = None  # None: the tars lie in the folder

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def column(self, name: str) -> NDArray[Any]:
        """A column as a numpy array; strings as objects, None where null."""
        return np.asarray(self.table.column(name).to_numpy())

    @cached_property
    def keys(self) -> NDArray[Any]:
        """(N,) str."""
        return self.column("key")

    @cached_property
    def expression(self) -> NDArray[Any]:
        """(N,) str, None where unknown."""
        return self.column("expression")

    @cached_property
    def subject(self) -> NDArray[Any]:
        """(N,) str, None where unknown."""
        return self.column("subject")

    @cached_property
    def group(self) -> NDArray[np.int32]:
        """(N,) rows of one group stand in one part."""
        return self.column("group")

    @cached_property
    def fold(self) -> NDArray[np.int32]:
        """(N,) the fold whose test part a row belongs to."""
        return self.column("fold")

    @cached_property
    def points(self) -> NDArray[np.float32]:
        """(N, 68, 2) in crop px."""
        parts = [np.asarray(chunk.flatten()) for chunk in self.table.column("points").chunks]
        return np.concatenate(parts, dtype=np.float32).reshape(-1, 68, 2)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The expressions that occur, in canonical order."""
        return classes_of({e for e in self.expression.tolist() if e is not None})

    @property
    def shares_people(self) -> bool:
        """True when folds were made by picture, so that a person may stand in several."""
        return self.about.by == "picture"

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all columns: equal digests mean equal faces, labels and folds."""
        return _digest(
            self.about, {n: self.table.select([n]).to_batches(_DIGESTED) for n in self.table.column_names}
        )


@dataclass(frozen=True)
class Summary:
    """What an index says of all its faces together, told without holding them in memory."""

    about: About
    faces: int
    shards: tuple[str, ...]  # names of the tars
    digest: str


def _digest(about: About, columns: Mapping[str, Iterable[pa.RecordBatch]]) -> str:
    digest = hashlib.sha256(json.dumps(vars(about), sort_keys=True).encode())
    for name, parts in columns.items():
        digest.update(name.encode())
        for part in _as_bytes(name, parts):
            digest.update(part)
    return digest.hexdigest()


def _as_bytes(name: str, parts: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    """What is digested of a column: points as they are, all else as one JSON list; some rows at a time."""
    if name == "points":
        yield from (np.asarray(part.column(0).flatten(), dtype=np.float32).tobytes() for part in parts)
        return
    yield b"["
    for number, part in enumerate(parts):
        yield (b", " if number else b"") + json.dumps(part.column(0).to_pylist())[1:-1].encode()
    yield b"]"


def write_index(folder: Path, about: About, tables: Iterable[pa.Table]) -> None:
    """Write `folder/index.parquet` whole or not at all; byte-identical for equal rows.

    tables: one after another, with the columns of INDEX; few of their rows are in memory at a time.
    """
    schema = INDEX.with_metadata({_ABOUT: json.dumps(vars(about), sort_keys=True).encode()})
    with (
        whole(folder / INDEX_FILE) as scratch,
        pq.ParquetWriter(scratch, schema, compression="zstd") as writer,
    ):
        for group in in_groups(tables):
            writer.write_table(group.cast(schema))


def read_index(folder: Path) -> Index:
    """Read the index of a shard folder. MienError names the file when it is missing, broken or empty."""
    path = Path(folder) / INDEX_FILE
    table = read_table(path, INDEX)
    about = _about(path)
    if table.num_rows == 0:
        raise MienError(f"{path} is empty; look into {COUNTS_FILE} beside it for why rows were rejected.")
    return Index(Path(folder), table.combine_chunks(), about, _origin(Path(folder)))


def summary(folder: Path) -> Summary:
    """What the index of a shard folder says together. MienError: it is none."""
    path = Path(folder) / INDEX_FILE
    about = _about(path)
    with pq.ParquetFile(path) as file:

        def column(name: str) -> Iterator[pa.RecordBatch]:
            yield from file.iter_batches(_DIGESTED, columns=[name])

        shards = dict.fromkeys(
            name for part in column("shard") for name in part.column(0).unique().to_pylist()
        )
        digest = _digest(about, {name: column(name) for name in INDEX.names})
        return Summary(about, file.metadata.num_rows, tuple(shards), digest)


def _about(path: Path) -> About:
    try:
        return About(**json.loads(pq.read_metadata(path).metadata[_ABOUT]))
    except (KeyError, ValueError, TypeError) as error:
        raise MienError(f"{path} is no index of shards; delete the folder and run `dvc repro`.") from error


def _origin(folder: Path) -> Origin | None:
    path = folder / ORIGIN_FILE
    if not path.exists():
        return None
    try:
        return Origin(**json.loads(path.read_text(encoding="utf-8")))
    except (TypeError, ValueError) as error:
        raise MienError(f"{path} does not say where the tars are; delete the folder.") from error
