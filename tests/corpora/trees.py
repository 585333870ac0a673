"""Miniature trees in official layouts, and what becomes of them."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mien.config import MienError
from mien.config.corpora import OfficialCorpus
from mien.corpora import make_corpus, picture_root
from mien.manifest.pictures import decode, read_bytes
from mien.manifest.tables import MANIFEST, is_gated, read_table

Damage = tuple[Callable[[Path], Any], str | dict[str, str]]
"""What is done to a tree, and the error, or the rejects by path."""


def draw(path: Path, size: int = 24) -> None:
    """A drawn face that depends on its name and the three folders above it; JPEG or PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    name = "/".join(path.parts[-4:])
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]))
    pixels = np.full((size, size, 3), rng.integers(90, 230, 3), dtype=np.uint8)
    pixels[size // 3, [size // 3, 2 * size // 3]] = rng.integers(0, 256, 3)  # eyes
    pixels[2 * size // 3, size // 3 : 2 * size // 3] = rng.integers(0, 256, 3)  # mouth
    Image.fromarray(pixels).save(path, "PNG" if path.suffix.lower() == ".png" else "JPEG")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def cut(path: Path) -> None:
    """Lose the second half of a file."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes())


def section(kind: type[OfficialCorpus], root: Path, **settings: Any) -> Any:
    name = kind.model_fields["kind"].annotation.__args__[0]
    return kind.model_validate({"kind": name, "source": str(root), **settings})


def read(kind: type[OfficialCorpus], root: Path, **settings: Any) -> list[dict[str, Any]]:
    """The manifest of a tree: what is not null, without corpus and hash, which are checked here."""
    config, into = section(kind, root, **settings), root.parent / "corpus"
    assert config.gated is True
    seen: list[tuple[int, int]] = []
    make_corpus("mini", config, into, root.parent / "basis", lambda done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert not seen or seen[-1][0] == seen[-1][1]
    rows = read_table(into / "manifest.parquet", MANIFEST).to_pylist()
    assert is_gated(into / "manifest.parquet")
    assert [row["key"] for row in rows] == sorted({row["key"] for row in rows})
    for row in rows:
        assert row.pop("corpus") == "mini"
        digest = row.pop("sha256")
        if row["reject"] is None:
            data = read_bytes(picture_root(config, into), row["path"], row["offset"], row["size"])
            assert hashlib.sha256(data).hexdigest() == digest
            decode(data)
    return [{k: v for k, v in row.items() if v is not None} for row in rows]


def expected(*rows: dict[str, Any]) -> list[dict[str, Any]]:
    return sorted(({k: v for k, v in row.items() if v is not None} for row in rows), key=lambda r: r["key"])


def counts(root: Path) -> dict[str, dict[str, int]]:
    """counts.json of the corpus that `read` made."""
    loaded: dict[str, dict[str, int]] = json.loads((root.parent / "corpus" / "counts.json").read_text())
    return loaded


def answered(kind: type[OfficialCorpus], root: Path, damage: Damage, **settings: Any) -> None:
    """Damage a tree: an error of one sentence and no manifest, or exactly these rejects."""
    do, answer = damage
    do(root)
    if isinstance(answer, str):
        with pytest.raises(MienError, match=answer) as caught:
            read(kind, root, **settings)
        assert "\n" not in str(caught.value)
        assert not (root.parent / "corpus" / "manifest.parquet").exists()
        return
    rows = read(kind, root, **settings)
    rejects = {row["path"]: row["reject"] for row in rows if "reject" in row}
    assert sorted(rejects) == sorted(answer)
    for path, words in answer.items():
        assert rejects[path].startswith(words)
