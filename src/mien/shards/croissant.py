"""Croissant metadata beside the tars, so that other tools read a shard folder without mien.

Format: MLCommons Croissant 1.0. What a tool finds: the index as records, one a face, and the tars' crops.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from mien.corpora.catalogue import CATALOGUE
from mien.manifest.tables import whole
from mien.shards.index import INDEX, INDEX_FILE, Summary, summary

CROISSANT_FILE = "croissant.json"
CONTEXT = json.loads((Path(__file__).with_name("croissant_context.json")).read_text(encoding="utf-8"))
_TYPES = {pa.string(): "sc:Text", pa.int32(): "sc:Integer", pa.int64(): "sc:Integer"}
_TYPES |= {pa.uint64(): "sc:Integer", pa.float32(): "sc:Float"}
_TOLD = {
    "key": "name of the face: of its crop and its JSON in the tar, unique",
    "expression": "canonical expression, or null",
    "subject": "who is in the picture, as the corpus names people, or null",
    "points": "68 iBUG landmarks x0, y0, x1, ... in px of the crop",
    "fold": "test fold; people are not shared between folds unless the corpus was sharded by picture",
    "split": "the part that the corpus's owner put the picture into",
}


def write_croissant(folder: Path, kind: str, gated: bool) -> Path:
    """Write croissant.json into a shard folder; byte-identical for equal shards.

    kind: the corpus's in params.yaml; an official one brings its owner's licence from the catalogue.
    """
    path = folder / CROISSANT_FILE
    with whole(path) as scratch:
        text = json.dumps(_described(folder, summary(folder), kind, gated), indent=2, sort_keys=True)
        scratch.write_text(text + "\n", encoding="utf-8")
    return path


def _described(folder: Path, told: Summary, kind: str, gated: bool) -> dict[str, Any]:
    """The metadata as Croissant's JSON-LD."""
    tars = sorted(told.shards)
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": told.about.corpus,
        "description": _description(told, kind, gated),
        "license": _licence(kind, gated),
        "version": f"1.0.0+{told.digest[:12]}",
        "distribution": [
            _file(folder / INDEX_FILE, "application/x-parquet"),
            *(_file(folder / tar, "application/x-tar") for tar in tars),
            {
                "@type": "cr:FileSet",
                "@id": "jpegs",
                "containedIn": [{"@id": tar} for tar in tars],
                "encodingFormat": "image/jpeg",
                "includes": "*.jpg",
            },
        ],
        "recordSet": [_faces(), _crops()],
    }


def _description(told: Summary, kind: str, gated: bool) -> str:
    entry = CATALOGUE.get(kind)
    what = f"{told.faces} aligned faces of {entry.title if entry else f'a {kind} corpus'}, by mien"
    return what + (
        ". Gated: only who has the owner's permission may use or pass on the pictures." if gated else "."
    )


def _licence(kind: str, gated: bool) -> str:
    entry = CATALOGUE.get(kind)
    if entry is not None:
        return f"{entry.licence}; ask {entry.ask}"
    return "by the owner's terms" if gated else "not stated"


def _file(path: Path, encoding: str) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "@type": "cr:FileObject",
        "@id": path.name,
        "name": path.name,
        "contentUrl": path.name,
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": encoding,
        "sha256": digest,
    }


def _faces() -> dict[str, Any]:
    """The rows of the index."""
    fields = []
    for column in INDEX:
        listed = pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type)
        kind = column.type.value_type if listed else column.type
        fields.append(
            {
                "@type": "cr:Field",
                "@id": f"faces/{column.name}",
                "dataType": _TYPES[kind],
                "description": _TOLD.get(column.name, column.name.replace("_", " ")),
                "source": {"fileObject": {"@id": INDEX_FILE}, "extract": {"column": column.name}},
                **({"repeated": True} if listed else {}),
            }
        )
    return {"@type": "cr:RecordSet", "@id": "faces", "key": {"@id": "faces/key"}, "field": fields}


def _crops() -> dict[str, Any]:
    """The JPEG crops of the tars by key; a PNG among them is named by the index."""

    def field(name: str, kind: str, told: str, source: dict[str, Any]) -> dict[str, Any]:
        given = {"fileSet": {"@id": "jpegs"}, **source}
        about = {"@type": "cr:Field", "@id": f"crops/{name}", "dataType": kind, "description": told}
        return about | {"source": given}

    key = {"extract": {"fileProperty": "filename"}, "transform": {"regex": r"^(.*)\.jpg$"}}
    return {
        "@type": "cr:RecordSet",
        "@id": "crops",
        "field": [
            field("key", "sc:Text", "name of the face", key),
            field("crop", "sc:ImageObject", "the aligned face", {"extract": {"fileProperty": "content"}}),
        ],
    }
