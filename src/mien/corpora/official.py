"""The shared way of an official layout into a manifest: an adapter names its pictures, all else happens here.

An adapter is the module `mien.corpora.KIND`. It has `MARKERS`, files or folders of which its tree must hold
one, `LAYOUT`, what a tree looks like in one line, `official(config)`, the owner's counts, and
`listing(tree, config)`.
"""

import csv
import json
import logging
import os
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from itertools import compress
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mien.config import MienError
from mien.config.corpora import OfficialCorpus
from mien.corpora.listed import Listed
from mien.corpora.rows import (
    AT_ONCE,
    ENDINGS,
    NAMED,
    Look,
    Row,
    by_key,
    examine,
    key_of,
    keys_of,
    write_manifest,
)
from mien.corpora.tarball import keep_pictures
from mien.manifest.expressions import NEUTRAL
from mien.manifest.tables import whole

COUNTS_FILE = "counts.json"
MISSING = "missing"  # the reject of a row whose file is not there
VIDEOS = {".avi", ".mp4", ".mpg"}
JUNK = {"thumbs.db", "desktop.ini", "__macosx"}

log = logging.getLogger(__name__)


@dataclass
class Tree:
    """The files of a corpus, and which of them an adapter has read.

    name: of the corpus in params.yaml. root: where the layout begins. files: all below, sorted.
    """

    name: str
    root: Path
    files: tuple[str, ...]
    used: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.known = frozenset(self.files)

    def lines(self, path: str) -> list[tuple[int, str]]:
        """Number and text of each line that is not empty. MienError: the file cannot be read."""
        self.used.add(path)
        try:
            text = (self.root / path).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise MienError(
                f"{self.root / path} of corpora.{self.name} cannot be read: {error}; unpack it again."
            ) from error
        return [(n, line.strip()) for n, line in enumerate(text.splitlines(), 1) if line.strip()]

    def table(self, path: str, columns: Collection[str]) -> Iterator[dict[str, str]]:
        """Rows of a CSV with a header, one after another.

        MienError: unreadable, a column is missing, or a row has too few.
        """
        self.used.add(path)
        try:
            with (self.root / path).open(newline="", encoding="utf-8-sig") as file:
                for number, row in enumerate(csv.DictReader(file), 2):
                    if lacking := [c for c in columns if row.get(c) is None]:
                        raise self.wrong(path, number, f"has no column {lacking[0]!r}")
                    yield row
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise self.wrong(path, None, f"cannot be read: {error}") from error

    def wrong(self, path: str, line: int | None, why: str) -> MienError:
        """An error in a label file, to be raised."""
        at = self.root / path if line is None else f"{self.root / path}, line {line},"
        return MienError(f"{at} of corpora.{self.name} {why}; unpack the official archive again.")

    def numbers(self, path: str, count: int) -> list[float]:
        """All numbers of a text file. MienError when there are not `count` of them."""
        words = [word for _, line in self.lines(path) for word in line.split()]
        try:
            values = [float(word) for word in words]
        except ValueError as error:
            raise self.wrong(path, None, f"holds something that is no number ({error})") from error
        if len(values) != count:
            raise self.wrong(path, None, f"holds {len(values)} numbers instead of {count}")
        return values


@dataclass
class Listing:
    """What an adapter made of a tree.

    rows: MANIFEST columns without key, corpus and sha256; `path` is relative to the tree's root; a row may
    have `name`, which its key is made of when a path holds several faces. made: instead of rows, `made_count`
    pictures that exist only inside a file of the corpus, each with its row (with a `name`) and its PNG,
    or no bytes for a reject; without a `made_count` progress is told at the end.
    left_out: pictures that are known and not asked for. look: whether a decoded picture can be used.
    """

    rows: Listed = field(default_factory=Listed)
    made: Iterable[tuple[Row, bytes]] | None = None
    made_count: int | None = None
    left_out: set[str] = field(default_factory=set)
    look: Look | None = None


class Adapter(Protocol):
    """The face of an adapter module."""

    MARKERS: tuple[str, ...]
    LAYOUT: str

    def official(self, config: Any) -> dict[str, int]:
        """Counts by their owner; see `counts_of` for the names."""

    def listing(self, tree: Tree, config: Any) -> Listing:
        """The pictures of a tree and their labels. MienError: a label file is wrong."""


def adapter(kind: str) -> Adapter:
    """The adapter of a kind."""
    return cast(Adapter, import_module(f"mien.corpora.{kind}"))


def read_official(
    name: str, config: OfficialCorpus, into: Path, progress: Callable[[int, int], None]
) -> None:
    """Write `into/manifest.parquet`, one row a face, sorted by key, and `into/counts.json`.

    MienError: the tree is not of this layout (it names ten files), or a label file is wrong.
    """
    kind = adapter(cast(Any, config).kind)
    tree = _open(name, Path(config.source), kind)
    listing = kind.listing(tree, config)
    _refuse_unknown(tree, kind, listing)
    if listing.made is None:
        rows = _rows(Path(config.source), tree, listing, progress)
    else:
        into.mkdir(parents=True, exist_ok=True)
        rows = iter(sorted(_made(listing, into, progress), key=lambda row: str(row["key"])))
    asked, counts = set(config.expressions), Counts()

    def known() -> Iterator[Row]:
        for row in rows:
            row |= {"corpus": name, "expression": row["expression"] if row["expression"] in asked else None}
            counts.add(row)
            yield row

    write_manifest(name, known(), into, gated=True)
    _compare(name, counts.told(), kind.official(config), into)


def _open(name: str, source: Path, kind: Adapter) -> Tree:
    """The tree below source, or below the one folder in it (archives wrap theirs) that holds the marker."""
    if not source.is_dir():
        raise MienError(
            f"corpora.{name}.source is {source}, which is not a folder; it must hold {kind.LAYOUT}."
        )
    roots = _holding([source], kind)
    for depth in ("*", "*/*"):
        roots = roots or _holding(sorted(source.glob(depth)), kind)
    if len(roots) > 1:
        both = " and ".join(str(p) for p in roots[:2])
        raise MienError(f"corpora.{name}.source holds the corpus twice, in {both}; move one of them away.")
    files = tuple(_walk(roots[0] if roots else source))
    if not roots:
        raise MienError(
            f"{source} of corpora.{name} lacks {' or '.join(kind.MARKERS)}; it must hold {kind.LAYOUT}; "
            f"{_ten(files, 'there are')}."
        )
    return Tree(name, roots[0], files)


def _holding(folders: list[Path], kind: Adapter) -> list[Path]:
    """The folders that hold a marker; what desktops leave behind aside."""
    return [
        folder
        for folder in folders
        if folder.name.lower() not in JUNK and any(any(folder.glob(m)) if m else True for m in kind.MARKERS)
    ]


def _walk(root: Path) -> list[str]:
    """Files at any depth, relative and sorted; hidden ones and what desktops leave behind aside."""

    def fail(error: OSError) -> None:
        raise MienError(
            f"{error.filename} cannot be read: {error.strerror}; mend its permissions."
        ) from error

    def kept(name: str) -> bool:
        return not name.startswith(".") and name.lower() not in JUNK

    found: list[str] = []
    for folder, folders, files in os.walk(root, onerror=fail, followlinks=True):
        folders[:] = [name for name in folders if kept(name)]
        below = Path(folder).relative_to(root)
        found += [(below / name).as_posix() for name in files if kept(name)]
    return sorted(found)


def _ten(files: Iterable[str], verb: str) -> str:
    """The first ten files in words."""
    named = list(files)
    more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
    return f"{verb} {', '.join(named[:NAMED]) or 'no files'}{more}"


def _refuse_unknown(tree: Tree, kind: Adapter, listing: Listing) -> None:
    """Pictures and videos that nobody listed are an error; other files are only named."""
    listed = pc.is_in(pa.array(tree.files, pa.string()), value_set=listing.rows.table()["path"])
    left = compress(tree.files, np.asarray(pc.invert(listed)))
    unknown = [path for path in left if path not in listing.left_out and path not in tree.used]
    pictures = [path for path in unknown if Path(path).suffix.lower() in ENDINGS | VIDEOS]
    if pictures or not (listing.rows or listing.made is not None):
        raise MienError(
            f"{tree.root} of corpora.{tree.name} does not fit: it must hold {kind.LAYOUT} "
            f"and no other picture; {_ten(pictures or unknown, 'not understood:')}."
        )
    if unknown:
        log.info("%s: %s", tree.name, _ten(unknown, "not read:"))


def _rows(source: Path, tree: Tree, listing: Listing, progress: Callable[[int, int], None]) -> Iterator[Row]:
    """The listed rows with key, path from the source, hash and reject, in the order of keys."""
    wrap, listed = tree.root.relative_to(source), listing.rows.table()
    keys = keys_of(listed["name"].combine_chunks())
    # files by path, whose sequence is that of the first row that names them
    first = listed.select(["path", "sequence"]).append_column("row", pa.array(np.arange(len(listed))))
    files = first.group_by("path").aggregate([("row", "min")]).sort_by("path")
    files = files.filter(pc.is_in(files["path"], value_set=pa.array(tree.files, pa.string())))
    paths, sequences = (
        files["path"].combine_chunks(),
        listed["sequence"].take(files["row_min"]).combine_chunks(),
    )
    seen = examine(tree.root, paths, progress, listing.look, sequences)
    place = np.asarray(pc.fill_null(pc.index_in(listed["path"], value_set=paths), -1))
    order = by_key(keys)
    for begin in range(0, len(order), AT_ONCE):
        some = order[begin : begin + AT_ONCE]
        for number, row in zip(some.tolist(), listed.take(pa.array(some)).to_pylist(), strict=True):
            file = int(place[number])
            found = seen.of(file) if file >= 0 else {"sha256": None, "reject": MISSING}
            row |= {"key": keys[number].as_py(), "path": (wrap / row["path"]).as_posix()}
            yield row | found | {"reject": found["reject"] or row["reject"]}


def _made(listing: Listing, into: Path, progress: Callable[[int, int], None]) -> Iterator[Row]:
    """Pictures from inside a file: written to tars beside the manifest."""

    def with_keys() -> Iterator[tuple[Row, bytes]]:
        done = 0
        for done, (row, data) in enumerate(listing.made or (), 1):
            row = dict(row)
            name = row.pop("name")
            yield {"subject": None, "reject": None, **row, "key": key_of(name)}, data
            if listing.made_count is not None:
                progress(done, listing.made_count)
        if listing.made_count is None:
            progress(done, done)

    yield from keep_pictures(with_keys(), into, "png")


class Counts:
    """How many rows, people, sequences ... a corpus has, rejected ones among them, missing ones not.

    `rows`, `pictures` (files), `people`, `sequences`, each expression, each split, `split/expression`,
    `split/labelled`, `sequences/expression` and `sequences/labelled`.
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._sequences: dict[str, str | None] = {}
        self._people: set[str | None] = set()
        self._pictures = array("q")  # hashes: names would take ten times the place

    def add(self, row: Row) -> None:
        """Count one row."""
        if row.get("reject") == MISSING:
            return
        expression, split, sequence = (row.get(column) for column in ("expression", "split", "sequence"))
        self._people.add(row.get("subject"))
        self._pictures.append(hash((row["path"], row.get("offset"))))
        names = ["rows", expression, split, *_of(split, expression)]
        self._counts.update(name for name in names if name)
        if sequence is not None and (self._sequences.get(sequence) is None or expression != NEUTRAL):
            self._sequences[sequence] = expression or self._sequences.get(sequence)

    def told(self) -> dict[str, int]:
        """The counts of all rows so far."""
        counts = self._counts.copy()
        for label in self._sequences.values():
            counts.update(["sequences"] + (["sequences/labelled", f"sequences/{label}"] if label else []))
        pictures = len(np.unique(np.frombuffer(self._pictures, dtype=np.int64)))
        return {**counts, "people": len(self._people - {None}), "pictures": pictures}


def _of(split: str | None, expression: str | None) -> list[str]:
    return [f"{split}/{expression}", f"{split}/labelled"] if split and expression else []


def _compare(name: str, found: dict[str, int], official: dict[str, int], into: Path) -> None:
    """Write found beside official counts and name each that differs."""
    with whole(into / COUNTS_FILE) as scratch:
        report = {"found": found, "official": official}
        scratch.write_text(json.dumps(report, indent=2, sort_keys=True) + "\n")
    differ = [
        f"{what} {found.get(what, 0)} (official {n})"
        for what, n in official.items()
        if found.get(what, 0) != n
    ]
    if differ:
        log.warning("%s: not the official counts: %s", name, ", ".join(differ))
