"""What the report knows of each corpus, read from its manifest, crops, landmarks and index."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from mien.config import Params
from mien.config.corpora import CorpusConfig, RenderedCorpus, withheld
from mien.corpora import MANIFEST_FILE, picture_root
from mien.evaluation.corpus_card import corpus_card
from mien.evaluation.rows import percent
from mien.evaluation.sheets import Example, MarkedFace, Sheet, contact_sheet, example, marked_faces
from mien.manifest.tables import ALIGNED, LANDMARKS, MANIFEST, read_table
from mien.shards.index import INDEX_FILE, Index, read_index

FRONTAL_DEGREES = 30
POINTS_FILE, ERRORS_FILE = "points.parquet", "landmarks.json"


@dataclass(frozen=True)
class Layout:
    """Where the stages left a corpus."""

    corpus: Path
    aligned: Path
    landmarks: Path
    shards: Path

    @classmethod
    def below(cls, data: Path, name: str) -> "Layout":
        """The folders of a corpus in the data folder of dvc.yaml."""
        return cls(*(data / stage / name for stage in ("corpora", "aligned", "landmarks", "shards")))


@dataclass(frozen=True)
class CorpusFacts:
    """One corpus in numbers and, where they may be shown, pictures."""

    name: str
    kind: str
    config: CorpusConfig
    card: Sequence[tuple[str, str]]  # term, text
    index: Index
    pictures: Mapping[str, int]  # of each class in the manifest
    faces: Mapping[str, Sequence[int]]  # of each class: usable faces by fold
    people: Sequence[int]  # by fold; empty when unknown
    rejects: Sequence[tuple[str, str, int]]  # stage, reason, pictures
    detected: tuple[int, int]  # faces found, readable pictures
    frontal: tuple[int, int] | None  # the same for |yaw| <= FRONTAL_DEGREES; None: no yaw given
    landmark_model: str
    errors: Sequence[tuple[str, str]]  # region of the face, mean error in words; empty: no points given
    hidden: str | None  # why no picture is shown; None: pictures are shown
    example: Example | None
    sheet: Sheet | None
    marked: Sequence[MarkedFace]

    @property
    def total_people(self) -> int | None:
        """People with a usable face, or None when unknown."""
        return (
            len({s for s in self.index.subject.tolist() if s is not None})
            if self.index.about.subjects_known
            else None
        )


def read_indexes(params: Params, data: Path) -> dict[str, Index]:
    """The index of every corpus of params.yaml that has been made."""
    folders = {name: Layout.below(data, name).shards for name in params.corpora}
    return {name: read_index(folder) for name, folder in folders.items() if (folder / INDEX_FILE).is_file()}


def read_facts(params: Params, data: Path, indexes: Mapping[str, Index]) -> list[CorpusFacts]:
    """The facts of every corpus that has an index, in the order of params.yaml."""
    return [_facts(name, params, Layout.below(data, name), index) for name, index in indexes.items()]


def hidden_because(config: CorpusConfig, show_photographs: bool) -> str | None:
    """Why the pictures of a corpus stay out of the page, or None. Its owner's terms decide first."""
    if withheld(config):
        return "This corpus is gated by its owner's terms, so none of its pictures is shown."
    if not isinstance(config, RenderedCorpus) and not show_photographs:
        return "Photographs are left out of the page unless report.show_photographs is true."
    return None


def _facts(name: str, params: Params, layout: Layout, index: Index) -> CorpusFacts:
    config = params.corpora[name]
    manifest = read_table(
        layout.corpus / MANIFEST_FILE, MANIFEST, [n for n in MANIFEST.names if n != "points"]
    )
    aligned = read_table(layout.aligned, ALIGNED, ["key", "reject"])
    found = read_table(layout.landmarks / POINTS_FILE, LANDMARKS)
    hidden = hidden_because(config, params.report.show_photographs)
    readable = manifest.filter(pc.is_null(manifest["reject"]))
    return CorpusFacts(
        name=name,
        kind=config.kind,
        config=config,
        card=corpus_card(config, layout.corpus),
        index=index,
        pictures=_count(manifest, index.classes),
        faces=_faces(index),
        people=_people(index),
        rejects=_rejects({"download": manifest, "align": aligned, "landmarks": found}),
        detected=_detected(readable, aligned),
        frontal=_frontal(readable, aligned),
        landmark_model=params.landmarks.model,
        errors=_errors(layout.landmarks / ERRORS_FILE),
        hidden=hidden,
        example=None if hidden else example(manifest, picture_root(config, layout.corpus)),
        sheet=None
        if hidden
        else contact_sheet(manifest, picture_root(config, layout.corpus), params.report.people_on_sheet),
        marked=[] if hidden else _marked(params, layout, found),
    )


def _marked(params: Params, layout: Layout, found: pa.Table) -> list[MarkedFace]:
    points = read_table(layout.corpus / MANIFEST_FILE, MANIFEST, ["key", "expression", "points"])
    given_only = params.landmarks.model == "given"
    return marked_faces(points, layout.aligned, found, params.report.faces_with_landmarks, given_only)


def _count(manifest: pa.Table, classes: Sequence[str]) -> dict[str, int]:
    counts = Counter(manifest["expression"].to_pylist())
    return {name: counts[name] for name in classes} | ({"none": counts[None]} if counts[None] else {})


def _faces(index: Index) -> dict[str, list[int]]:
    counts = Counter(zip(index.expression.tolist(), index.fold.tolist(), strict=True))
    folds = range(index.about.folds)
    return {name or "none": [counts[name, fold] for fold in folds] for name in (*index.classes, None)}


def _people(index: Index) -> list[int]:
    if not index.about.subjects_known:
        return []
    pairs = set(zip(index.subject.tolist(), index.fold.tolist(), strict=True))
    counts = Counter(fold for subject, fold in pairs if subject is not None)
    return [counts[fold] for fold in range(index.about.folds)]


def _rejects(tables: Mapping[str, pa.Table]) -> list[tuple[str, str, int]]:
    """By stage, most frequent first, without details behind a colon. A picture counts where it first fell."""
    rows, gone = [], set()
    for stage, table in tables.items():
        refused = table.filter(pc.is_valid(table["reject"])).select(["key", "reject"]).to_pylist()
        reasons = Counter(row["reject"].split(":")[0] for row in refused if row["key"] not in gone)
        gone |= {row["key"] for row in refused}
        rows += [
            (stage, reason, number) for reason, number in sorted(reasons.items(), key=lambda r: (-r[1], r[0]))
        ]
    return rows


def _detected(readable: pa.Table, aligned: pa.Table) -> tuple[int, int]:
    """Faces found among readable pictures."""
    faces = aligned.filter(pc.is_null(aligned["reject"]))["key"]
    return int(pc.sum(pc.is_in(readable["key"], value_set=faces)).as_py() or 0), len(readable)


def _frontal(readable: pa.Table, aligned: pa.Table) -> tuple[int, int] | None:
    near = readable.filter(pc.less_equal(pc.abs(readable["yaw"]), FRONTAL_DEGREES))
    return _detected(near, aligned) if len(near) else None


def _errors(path: Path) -> list[tuple[str, str]]:
    """Mean error of each region of the face; none where the corpus gives no points to measure against."""
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if found.get("model") == "given":
        return []  # measured against themselves
    errors = found.get("nme") or {}
    return [(region, percent(errors[region])) for region in sorted(errors, key=lambda name: name == "all")]
