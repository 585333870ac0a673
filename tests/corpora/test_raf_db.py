import json

import pytest

from mien.config.corpora import RafDbCorpus
from mien.corpora.raf_db import official
from tests.corpora.trees import answered, copy, counts, cut, draw, expected, read, replace, section, write

LABELS = "EmoLabel/list_patition_label.txt"


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "basic"
    write(root / LABELS, "train_00001.jpg 5\ntrain_00002.jpg 7\ntest_0001.jpg 1\n")
    for name in ("train_00001", "train_00002", "test_0001"):
        draw(root / f"Image/aligned/{name}_aligned.jpg")
        draw(root / f"Image/original/{name}.jpg", 40)
        write(root / f"Annotation/auto/{name}_auto_attri.txt", "1 2\n")
    points = "10\t12\n20\t12\n15\t16\n11\t20\n19\t20.5\n"
    write(root / "Annotation/manual/train_00001_manu_attri.txt", f"{points}1\n2\n3\n")
    write(root / "Annotation/boundingbox/train_00001_boundingbox.txt", "8.5 9 22 24 \n")
    return root


def row(name, expression, split, **more):
    path = f"Image/aligned/{name}_aligned.jpg"
    return {
        "key": f"image-aligned-{name}_aligned",
        "path": path,
        "expression": expression,
        "split": split,
    } | more


def test_the_layout_becomes_rows(root):
    attributes = '{"age": "40-69", "gender": "female", "race": "asian"}'
    assert read(RafDbCorpus, root) == expected(
        row("train_00001", "sad", "train", attributes=attributes),
        row("train_00002", "neutral", "train"),
        row("test_0001", "surprise", "test"),
    )


def test_original_pictures_have_their_points_and_box(root):
    rows = {row["key"]: row for row in read(RafDbCorpus, root, pictures="original")}
    assert set(rows) == {
        "image-original-train_00001",
        "image-original-train_00002",
        "image-original-test_0001",
    }
    first = rows["image-original-train_00001"]
    assert first["box"] == [8.5, 9, 22, 24]
    assert json.loads(first["attributes"])["five"] == [[10, 12], [20, 12], [15, 16], [11, 20], [19, 20.5]]


def test_the_folder_that_an_archive_wraps_around_is_found(root):
    config = section(RafDbCorpus, root.parent)
    assert read(RafDbCorpus, root.parent / "basic")[0]["path"].startswith("Image/")
    from mien.corpora import make_corpus
    from mien.manifest.tables import MANIFEST, read_table

    make_corpus("mini", config, root.parent / "other", root, lambda done, total: None)
    paths = read_table(root.parent / "other" / "manifest.parquet", MANIFEST)["path"].to_pylist()
    assert paths == [
        f"basic/Image/aligned/{n}_aligned.jpg" for n in ("test_0001", "train_00001", "train_00002")
    ]


def test_official_counts_stand_beside_those_found(root):
    read(RafDbCorpus, root)
    report = counts(root)
    assert report["found"]["train"] == 2
    assert report["found"]["test/surprise"] == 1
    wanted = report["official"]
    assert (wanted["train"], wanted["test"], wanted["test/happy"]) == (12_271, 3_068, 1_185)
    for split in ("train", "test"):
        assert sum(n for what, n in wanted.items() if what.startswith(f"{split}/")) == wanted[split]


def test_official_counts_follow_the_expressions(root):
    assert "train/fear" not in official(section(RafDbCorpus, root, expressions=["happy", "sad"]))


def test_expressions_that_are_not_asked_for_stay_unlabelled(root):
    rows = read(RafDbCorpus, root, expressions=["sad"])
    assert [row.get("expression") for row in rows] == [None, "sad", None]


ALIGNED = "Image/aligned/train_00001_aligned.jpg"


@pytest.mark.parametrize(
    "damage",
    [
        (lambda r: replace(r / LABELS, "train_00001.jpg 5\n", ""), {ALIGNED: "not in EmoLabel"}),
        (
            lambda r: replace(r / LABELS, "00001.jpg 5", "00001.jpg 8"),
            r"label.txt, line 1, .*'train_00001.jpg 8'.*1 to 7",
        ),
        (
            lambda r: draw(r / "Image/aligned/odd.jpg"),
            r"does not fit: .*not understood: Image/aligned/odd.jpg",
        ),
        (lambda r: cut(r / ALIGNED), {ALIGNED: "truncated"}),
        (
            lambda r: copy(r / ALIGNED, r / "Image/aligned/train_00002_aligned.jpg"),
            {"Image/aligned/train_00002_aligned.jpg": f"copy of {ALIGNED}"},
        ),
        (
            lambda r: write(r / LABELS, "train_00001.jpg 5\ntrain_00001.jpg 6\n"),
            r"line 2, .*train_00001.jpg a second time",
        ),
        (lambda r: (r / ALIGNED).unlink(), {ALIGNED: "missing"}),
        (lambda r: (r / LABELS).unlink(), r"lacks EmoLabel/list_patition_label.txt; it must hold"),
        (
            lambda r: write(r / "Annotation/manual/test_0001_manu_attri.txt", "1 2"),
            r"test_0001_manu_attri.txt .*2 numbers instead of 13",
        ),
    ],
    ids=[
        "no label",
        "wrong code",
        "unknown",
        "truncated",
        "copy",
        "label twice",
        "no picture",
        "no list",
        "no points",
    ],
)
def test_damage_is_answered(root, damage):
    answered(RafDbCorpus, root, damage)


def test_the_first_ten_files_that_do_not_fit_are_named(root):
    for k in range(12):
        draw(root / f"Image/aligned/x{k:02d}.jpg")
    answered(RafDbCorpus, root, (lambda r: None, r"x00.jpg, .*x09.jpg and 2 more"))
