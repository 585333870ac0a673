import hashlib
import logging
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.config import MienError
from mien.config.corpora import FolderCorpus
from mien.corpora import make_corpus, picture_root
from mien.corpora.rows import NAMED
from mien.manifest.pictures import decode, read_bytes
from mien.manifest.tables import KEY, MANIFEST, read_table

CLASSES = {"glad": "happy", "calm": "neutral"}


def picture(path: Path, seed: int, size: int = 24) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)).save(path)


@pytest.fixture
def tree(tmp_path) -> Path:
    root = tmp_path / "photographs"
    picture(root / "glad" / "001_a.jpg", 1)
    picture(root / "glad" / "002_a.PNG", 2)
    picture(root / "calm" / "001_b.webp", 3)
    picture(root / "calm" / "deeper" / "003_b.tif", 4)
    return root


def made(root: Path, **settings: object) -> list[dict]:
    config = FolderCorpus(kind="folder", source=str(root), **({"classes": CLASSES} | settings))
    into = root.parent / "corpus"
    make_corpus("mine", config, into, root.parent / "basis", lambda done, total: None)
    return read_table(into / "manifest.parquet", MANIFEST).to_pylist()


def test_a_tree_becomes_rows(tree):
    rows = {row["path"]: row for row in made(tree)}
    assert {p: r["expression"] for p, r in rows.items()} == {
        "glad/001_a.jpg": "happy",
        "glad/002_a.PNG": "happy",
        "calm/001_b.webp": "neutral",
        "calm/deeper/003_b.tif": "neutral",
    }
    for path, row in rows.items():
        assert row["reject"] is None
        assert row["corpus"] == "mine"
        assert row["subject"] is None
        assert row["sha256"] == hashlib.sha256((tree / path).read_bytes()).hexdigest()
        assert re.fullmatch(KEY, row["key"])
    assert [r["key"] for r in made(tree)] == sorted(r["key"] for r in rows.values())
    assert rows["glad/001_a.jpg"]["key"] == "glad-001_a"


def test_rows_read_through_the_picture_root(tree):
    config = FolderCorpus(kind="folder", source=str(tree), classes=CLASSES)
    row = made(tree)[0]
    root = picture_root(config, Path("elsewhere"))
    assert decode(read_bytes(root, row["path"], row["offset"], row["size"])).shape == (24, 24, 3)


def test_the_manifest_is_the_same_again(tree):
    made(tree)
    first = (tree.parent / "corpus" / "manifest.parquet").read_bytes()
    made(tree)
    assert (tree.parent / "corpus" / "manifest.parquet").read_bytes() == first


def test_subject_from_the_name(tree):
    subjects = {row["path"]: row["subject"] for row in made(tree, subject_regex=r"^(\d+)_")}
    assert subjects["glad/001_a.jpg"] == subjects["calm/001_b.webp"] == "001"
    assert subjects["calm/deeper/003_b.tif"] == "003"


def test_subject_from_a_table(tree, caplog):
    (tree / "who.csv").write_text("subject,file\nann,glad/001_a.jpg\nbob,calm/001_b.webp\n,glad/002_a.PNG\n")
    subjects = {row["path"]: row["subject"] for row in made(tree, subject_csv="who.csv")}
    assert subjects["glad/001_a.jpg"] == "ann"
    assert subjects["glad/002_a.PNG"] is None
    assert "2 pictures are of nobody known" in caplog.text


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"subject_regex": "("}, "subject_regex is not a regular expression"),
        ({"subject_regex": "abc"}, "subject_regex needs a group"),
        ({"subject_csv": "none.csv"}, r"none.csv, which corpora.mine.subject_csv names, cannot be read"),
        ({"subject_csv": "odd.csv"}, r"odd.csv lacks the column 'file'"),
        ({"classes": {"glad": "happy", "clam": "neutral"}}, r"calm is a folder that .*did you mean 'clam'"),
        (
            {"classes": {"glad": "hapy", "calm": "neutral"}},
            r"classes.glad is 'hapy'; it must be one of neutral, happy",
        ),
    ],
)
def test_wrong_settings_are_named(tree, settings, words):
    (tree / "odd.csv").write_text("picture,subject\nx,y\n")
    with pytest.raises(MienError, match=words):
        made(tree, **settings)
    assert not (tree.parent / "corpus" / "manifest.parquet").exists()


def test_an_unknown_folder_that_is_an_expression_is_suggested(tree):
    picture(tree / "Surprised" / "x.jpg", 9)
    with pytest.raises(MienError, match=r"Surprised is a folder .*did you mean 'surprise'"):
        made(tree)


def test_an_empty_tree_and_a_missing_one_are_refused(tmp_path):
    (tmp_path / "photographs" / "glad").mkdir(parents=True)
    with pytest.raises(MienError, match="holds no pictures"):
        made(tmp_path / "photographs")
    with pytest.raises(MienError, match=r"corpora.mine.source is .*which is not a folder"):
        made(tmp_path / "nowhere")


def test_bad_pictures_become_rows_with_a_reason(tree):
    good = (tree / "glad" / "001_a.jpg").read_bytes()
    (tree / "glad" / "empty.jpg").touch()
    (tree / "glad" / "cut.jpg").write_bytes(good[: len(good) // 2])
    (tree / "glad" / "text.jpg").write_text("no picture")
    (tree / "glad" / "folder.jpg").mkdir()
    picture(tree / "glad" / "tiny.png", 5, size=4)
    reasons = {row["path"].split("/")[-1]: row["reject"] for row in made(tree) if row["reject"]}
    assert reasons["empty.jpg"] == "empty file"
    assert reasons["cut.jpg"].startswith("truncated")
    assert reasons["text.jpg"] == "not a picture"
    assert reasons["folder.jpg"].startswith("unreadable")
    assert reasons["tiny.png"].startswith("too small")
    assert len(reasons) == 5


def test_of_copies_the_first_stays(tree):
    data = (tree / "calm" / "001_b.webp").read_bytes()
    (tree / "glad" / "zz.webp").write_bytes(data)
    rejects = {row["path"]: row["reject"] for row in made(tree)}
    assert rejects["calm/001_b.webp"] is None
    assert rejects["glad/zz.webp"] == "copy of calm/001_b.webp"


def test_keys_stay_apart(tree):
    for k, name in enumerate(
        ["a b.jpg", "a-b.jpg", "A B.png", "a.b.jpg", "é.jpg", "ü.jpg", f"{'x' * 200}.jpg"]
    ):
        picture(tree / "glad" / name, 20 + k)
    keys = [row["key"] for row in made(tree)]
    assert len(set(keys)) == len(keys) == 11
    assert all(re.fullmatch(KEY, key) and len(key) < 100 for key in keys)


def test_what_is_not_understood_is_named_up_to_ten(tree, caplog):
    for k in range(NAMED + 3):
        (tree / "glad" / f"note{k:02d}.txt").write_text("x")
    (tree / "glad" / ".hidden").write_text("x")
    picture(tree / "loose.jpg", 8)
    with caplog.at_level(logging.WARNING):
        assert len(made(tree)) == 4
    assert "glad/note09.txt and 4 more" in caplog.text
    assert "note10" not in caplog.text
    assert "hidden" not in caplog.text


def test_progress_counts_to_the_end(tree):
    seen: list[tuple[int, int]] = []
    config = FolderCorpus(kind="folder", source=str(tree), classes=CLASSES)
    make_corpus("mine", config, tree.parent / "c", tree.parent / "b", lambda d, t: seen.append((d, t)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
