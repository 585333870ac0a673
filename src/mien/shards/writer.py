"""Aligned faces into WebDataset tars, an index and a table of counts; equal inputs give equal bytes."""

import hashlib
import io
import json
import logging
import os
import tarfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.progress import track

from mien.config import MienError
from mien.config.shard import Shard
from mien.manifest.pictures import Reject, decode
from mien.manifest.tables import is_gated, read_table, whole, write_table
from mien.shards.duplicates import hashes, near_duplicates, refuse_leaks, thumbnail
from mien.shards.folds import grouped, make_folds
from mien.shards.gather import Gathered, crops, gather
from mien.shards.index import COUNTS_FILE, INDEX, INDEX_FILE, About, Index, summary, write_index
from mien.shards.tars import HEADER_BYTES, SUFFIX

_LATER = ("group", "fold")  # index columns that need all shards
_PART = pa.schema([field for field in INDEX if field.name not in _LATER])
_NEEDED = (
    *("key", "shard", "offset", "size", "json_offset", "json_size", "width", "height"),
    *("phash", "phash_mirrored", "picture_sha256", "crop_sha256", "expression", "subject", "sequence"),
)
_COPIED = ("key", "expression", "subject", "sequence", "frame", "frames", "view", "yaw", "split")
_SHORT = 16  # bytes
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Task:
    """One tar: its path and which samples go into it."""

    path: Path
    first: int
    last: int

    @property
    def rows_path(self) -> Path:
        return self.path.with_name(f".{self.path.name}.parquet")  # goes when the folder is finished


def write_shards(
    name: str,
    manifest: Path,
    aligned: Path,
    landmarks: Path,
    into: Path,
    params: Shard,
    writers: int | None = None,
) -> None:
    """Write `into/NAME-000000.tar`, ..., index.parquet and counts.json; it holds keys and numbers alone.

    The bytes do not depend on `writers` (threads; one a core when None). Tars that an earlier, killed call
    finished are kept if their content is still right. MienError: inputs do not fit together, too many
    rejects, or a leak between folds (duplicates.refuse_leaks).
    """
    gathered, gated = gather(manifest, aligned, landmarks), is_gated(manifest)
    pa.default_memory_pool().release_unused()
    _refuse_rejects(gathered, params.max_reject_share)
    into.mkdir(parents=True, exist_ok=True)
    tasks = list(_tasks(name, into, len(gathered.places), params.samples_per_shard))
    _clear(into, tasks)
    with ThreadPoolExecutor(writers or os.cpu_count() or 1) as pool:
        done = pool.map(partial(_shard, gathered=gathered, gated=gated), tasks)
        for _ in track(done, f"tars of {name}", len(tasks), console=Console(stderr=True)):
            pass
    pa.default_memory_pool().release_unused()  # what threads let go of would count as taken
    index = _in_folds(_known(tasks), name, into, params)
    refuse_leaks(index)
    write_index(into, index.about, _finished(tasks, index))
    with whole(into / COUNTS_FILE) as scratch:
        text = json.dumps(_counts(index, gathered), indent=2, sort_keys=True)
        scratch.write_text(text + "\n", encoding="utf-8")
    for task in tasks:
        task.rows_path.unlink()


def _refuse_rejects(gathered: Gathered, allowed: float) -> None:
    rejected = gathered.rejected()
    total = rejected + len(gathered.places)
    if total == 0:
        raise MienError("the manifest has no rows; look at the corpus's folder and its entry in params.yaml.")
    if rejected / total > allowed:
        reasons: Counter[str] = sum((Counter(stage) for stage in gathered.rejects.values()), Counter())
        listed = ", ".join(f"{reason} ({count})" for reason, count in reasons.most_common())
        raise MienError(
            f"{rejected} of {total} pictures are rejected, more than shard.max_reject_share: {listed}."
        )
    if not len(gathered.places):
        raise MienError("every picture is rejected; there is nothing to put into shards.")


def _tasks(name: str, into: Path, samples: int, each: int) -> Iterator[_Task]:
    for number, first in enumerate(range(0, samples, each)):
        yield _Task(into / f"{name}-{number:06d}.tar", first, min(first + each, samples))


def _clear(into: Path, tasks: list[_Task]) -> None:
    """Take away what an earlier call left, but not the tars that this one would write again."""
    kept = {path for task in tasks for path in (task.path, task.rows_path)}
    left = [
        into / INDEX_FILE,
        into / COUNTS_FILE,
        *into.glob("*.tar"),
        *into.glob(".*.tar.*"),
        *into.glob(".*.json.*"),
    ]
    for path in set(left) - kept:
        path.unlink(missing_ok=True)


def _shard(task: _Task, gathered: Gathered, gated: bool) -> None:
    """Write one tar, and beside it its rows of the index, unless the same ones stand there."""
    described = gathered.rows(task.first, task.last)
    texts = [_described(row, gated) for row in described]
    if _stands(task, gathered, texts):
        return
    rows: list[dict[str, Any]] = []
    with whole(task.path) as scratch, tarfile.open(scratch, "w", format=tarfile.USTAR_FORMAT) as tar:
        for row, text, crop in zip(described, texts, crops(gathered, task.first, task.last), strict=True):
            facts = _facts(row["key"], crop)
            suffix = SUFFIX[crop[:2]]
            facts |= dict(zip(("offset", "size"), _add(tar, f"{row['key']}.{suffix}", crop), strict=True))
            facts |= dict(
                zip(("json_offset", "json_size"), _add(tar, f"{row['key']}.json", text), strict=True)
            )
            facts |= {name: row[name] for name in _COPIED}
            facts |= {"points": row["points"], "shard": task.path.name, "condition": _condition(row)}
            rows.append(facts | {"picture_sha256": row["sha256"], "json_sha256": _sha256(text)})
    write_table(pa.Table.from_pylist(rows, schema=_PART), task.rows_path, _PART)


def _stands(task: _Task, gathered: Gathered, texts: list[bytes]) -> bool:
    """Whether an earlier call finished this tar, with these very crops and texts."""
    if not (task.path.is_file() and task.rows_path.is_file()):
        return False
    table = read_table(task.rows_path, _PART)
    if table["json_sha256"].to_pylist() != [_sha256(text) for text in texts]:
        return False
    with task.path.open("rb") as tar:
        for row, crop in zip(table.to_pylist(), crops(gathered, task.first, task.last), strict=True):
            tar.seek(row["offset"])
            if tar.read(row["size"]) != crop:
                return False
            tar.seek(row["json_offset"])
            if _sha256(tar.read(row["json_size"])) != row["json_sha256"]:
                return False
    _log.info("%s is kept from an earlier run", task.path.name)
    return True


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> tuple[int, int]:
    """Add a member without time or owner; where its bytes begin, and how many."""
    member = tarfile.TarInfo(name)  # mtime, uid and gid are 0, names of owners empty
    member.size = len(data)
    begin = tar.offset + HEADER_BYTES
    tar.addfile(member, io.BytesIO(data))
    return begin, len(data)


def _facts(key: str, crop: bytes) -> dict[str, Any]:
    if crop[:2] not in SUFFIX:
        raise MienError(f"the crop of {key} is neither JPEG nor PNG; run stage align again.")
    try:
        picture = decode(crop)
    except Reject as reason:
        raise MienError(f"the crop of {key} is {reason}; run stage align again.") from reason
    plain, mirrored = hashes(thumbnail(picture))
    height, width = picture.shape[:2]
    hashed = {"phash": plain, "phash_mirrored": mirrored, "crop_sha256": _sha256(crop)}
    return {"width": width, "height": height, **hashed}


def _described(row: dict[str, Any], gated: bool) -> bytes:
    """The JSON of a sample: all that is known of it, so that a tar is of use without the index."""
    known = {name: row[name] for name in (*_COPIED, "corpus")}
    known["votes"] = None if row["votes"] is None else [round(v, 6) for v in row["votes"]]
    known["yaw"] = None if row["yaw"] is None else round(row["yaw"], 4)
    points = np.asarray(row["points"], dtype=np.float64).reshape(68, 2)
    known["points"] = np.round(points, 3).tolist()  # crop px
    known["attributes"] = None if row["attributes"] is None else json.loads(row["attributes"])
    known["gated"] = gated
    return json.dumps(known, sort_keys=True, separators=(",", ":")).encode()


def _condition(row: dict[str, Any]) -> str | None:
    condition = json.loads(row["attributes"] or "{}").get("condition")
    return None if condition is None else str(condition)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _known(tasks: list[_Task]) -> pa.Table:
    """Of the rows of all tars what folds and the search for copies need, in little place."""
    parts = []
    for task in tasks:
        part = read_table(task.rows_path, _PART, list(_NEEDED))
        columns = {name: part[name] for name in _NEEDED} | {"shard": part["shard"].dictionary_encode()}
        for name in ("picture_sha256", "crop_sha256"):
            columns[name] = pa.array(map(_short, part[name].to_pylist()), pa.binary(_SHORT))
        parts.append(pa.table(columns))
    return pa.concat_tables(parts).combine_chunks()


def _short(digest: str | None) -> bytes | None:
    """A digest that takes a quarter of the place, and still is another for other files."""
    return None if digest is None else hashlib.sha256(digest.encode()).digest()[:_SHORT]


def _in_folds(table: pa.Table, name: str, into: Path, params: Shard) -> Index:
    """Put groups and folds to what is known of the rows."""
    folds, _ = params.folds_in(name)
    about = About(
        corpus=name,
        folds=folds,
        by=params.by,
        subjects_known=table["subject"].null_count == 0,
        phash_distance=params.phash_distance,
        near_duplicate_correlation=params.near_duplicate_correlation,
        picture_folds=params.folds_in(name, "picture")[0],
    )
    known = Index(into, table, about)
    group = _groups(known)
    fold = make_folds(known.expression, group, folds, params.seed)
    for column, values in (("group", group), ("fold", fold)):
        table = table.append_column(INDEX.field(column), pa.array(values))
    return Index(into, table, about)


def _finished(tasks: list[_Task], index: Index) -> Iterator[pa.Table]:
    """The rows of the index, one tar after another."""
    for task in tasks:
        part = read_table(task.rows_path, _PART)
        for name in _LATER:
            values = index.table[name].slice(task.first, task.last - task.first)
            part = part.append_column(INDEX.field(name), values)
        yield part.select(INDEX.names)


def _groups(index: Index) -> np.ndarray[Any, np.dtype[np.int32]]:
    """Who may not be parted: frames of a sequence, a person, and copies where the person is unknown."""
    owner = [s or "" for s in index.subject.tolist()]
    takes = index.column("sequence").tolist()
    sequence = np.array(
        [None if t is None else f"{o}\0{t}" for o, t in zip(owner, takes, strict=True)], dtype=object
    )
    if index.shares_people:
        return grouped([sequence], [], len(index))
    names = [index.subject, sequence]
    if index.about.subjects_known:
        return grouped(names, [], len(index))
    alone = np.array([s is None for s in index.subject.tolist()])
    first = grouped(names, [], len(index))
    pairs = near_duplicates(index, first.astype(np.int64))
    copies = [
        (int(a), int(b)) for a, b in zip(pairs.first, pairs.second, strict=True) if alone[a] or alone[b]
    ]
    files = np.where(alone, index.column("picture_sha256"), np.array(None, dtype=object))
    return grouped([*names, files], copies, len(index))


def _counts(index: Index, gathered: Gathered) -> dict[str, Any]:
    people = {s for s in index.subject.tolist() if s is not None}
    stands_for = "subject" if index.about.subjects_known else "near-duplicates where the subject is unknown"
    return {
        "corpus": index.about.corpus,
        "rows": len(index) + gathered.rejected(),
        "samples": len(index),
        "rejected": gathered.rejected(),
        "rejects": gathered.rejects,
        "classes": _per_class(index, np.ones(len(index), dtype=np.bool_)),
        "without_expression": int(sum(e is None for e in index.expression.tolist())),
        "subjects": len(people),
        "without_subject": int(sum(s is None for s in index.subject.tolist())),
        "folds_by": "picture" if index.shares_people else stands_for,
        "people_shared": index.shares_people,
        "folds": list(_per_fold(index)),
        "digest": summary(index.folder).digest,
    }


def _per_class(index: Index, where: np.ndarray[Any, np.dtype[np.bool_]]) -> dict[str, int]:
    counted = Counter(index.expression[where].tolist())
    return {name: counted[name] for name in index.classes}


def _per_fold(index: Index) -> Iterator[dict[str, Any]]:
    for fold in range(index.about.folds):
        inside = index.fold == fold
        people = {s for s in index.subject[inside].tolist() if s is not None}
        facts = {"fold": fold, "samples": int(inside.sum()), "subjects": len(people)}
        yield facts | {"groups": len(np.unique(index.group[inside])), "classes": _per_class(index, inside)}
