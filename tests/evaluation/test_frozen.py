"""The frozen manifest: what it counts by, and what it refuses."""

import hashlib
from pathlib import Path

import pyarrow as pa
import pytest

from mien.config import MienError
from mien.config.corpora import FolderCorpus
from mien.evaluation.frozen import _picture, read_frozen, refuse_copies
from mien.manifest.tables import MANIFEST, write_table


def manifest(directory: Path, *rows: dict[str, object]) -> Path:
    whole = [dict.fromkeys(MANIFEST.names) | {"corpus": "unseen"} | row for row in rows]
    write_table(pa.Table.from_pylist(whole, schema=MANIFEST), directory / "manifest.parquet", MANIFEST)
    return directory


def row(root: Path, key: str, expression: str | None, data: bytes = b"", **more: object) -> dict[str, object]:
    (root / f"{key}.jpg").write_bytes(data or key.encode())
    sha256 = hashlib.sha256(data or key.encode()).hexdigest()
    return {"key": key, "path": f"{key}.jpg", "sha256": sha256, "expression": expression} | more


def corpus(root: Path) -> FolderCorpus:
    return FolderCorpus(kind="folder", source=str(root), classes={"n": "neutral"})


def test_only_labelled_pictures_that_can_be_read_count(tmp_path: Path) -> None:
    rows = (
        row(tmp_path, "b", "happy", subject="anna"),
        row(tmp_path, "a", "neutral"),
        row(tmp_path, "c", None),
        row(tmp_path, "d", "sad", reject="copy of a"),
    )
    frozen = read_frozen("unseen", corpus(tmp_path), manifest(tmp_path / "data", *rows))
    assert [face.key for face in frozen.faces] == ["a", "b"]
    assert frozen.person == ["a", "anna"]
    assert frozen.classes == ("neutral", "happy")
    assert frozen.label.tolist() == [0, 1]


def test_the_digest_is_of_pictures_labels_and_people_and_of_no_order(tmp_path: Path) -> None:
    a, b = row(tmp_path, "a", "neutral"), row(tmp_path, "b", "happy", subject="anna")
    digests = [
        read_frozen("unseen", corpus(tmp_path), manifest(tmp_path / str(n), *rows)).digest
        for n, rows in enumerate(
            ((a, b), (b, a), (a,), (a, b | {"expression": "sad"}), (a, b | {"subject": "eve"}), (a, b | {"sha256": "0"}))
        )
    ]  # fmt: skip
    assert digests[0] == digests[1]
    assert len(set(digests)) == 5


def test_a_picture_that_training_has_too_is_named(tmp_path: Path) -> None:
    own, other = row(tmp_path, "a", "neutral"), row(tmp_path, "b", "happy")
    frozen = read_frozen("unseen", corpus(tmp_path), manifest(tmp_path / "frozen", own))
    refuse_copies(frozen, "seen", manifest(tmp_path / "apart", other))
    with pytest.raises(MienError, match="a of the frozen corpus unseen is z of seen too"):
        refuse_copies(frozen, "seen", manifest(tmp_path / "shared", other, own | {"key": "z"}))


def test_a_picture_that_has_changed_is_refused(tmp_path: Path) -> None:
    frozen = read_frozen(
        "unseen", corpus(tmp_path), manifest(tmp_path / "data", row(tmp_path, "a", "neutral"))
    )
    assert _picture(frozen, frozen.faces[0]) == b"a"
    (tmp_path / "a.jpg").write_bytes(b"another")
    with pytest.raises(MienError, match="not the picture that was frozen"):
        _picture(frozen, frozen.faces[0])
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(MienError, match="cannot be read"):
        _picture(frozen, frozen.faces[0])


def test_a_corpus_that_is_not_made_says_how(tmp_path: Path) -> None:
    with pytest.raises(MienError, match="dvc repro download@unseen"):
        read_frozen("unseen", corpus(tmp_path), tmp_path)
