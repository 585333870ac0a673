"""What all official layouts share: where a tree begins, what is ignored, what is counted."""

from typing import get_args

import pytest

from mien.config import MienError
from mien.config.corpora import CfpCorpus, Official, OfficialCorpus
from mien.corpora.catalogue import CATALOGUE
from mien.corpora.official import Counts, adapter
from tests.corpora.trees import draw, read, section, write

KINDS = {kind.model_fields["kind"].annotation.__args__[0]: kind for kind in get_args(Official)}
PICTURE = "Data/Images/001/frontal/01.jpg"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_an_adapter_and_a_place_in_the_catalogue(kind, tmp_path):
    found = adapter(kind)
    assert found.MARKERS
    assert found.LAYOUT
    config = section(KINDS[kind], tmp_path)
    assert isinstance(config, OfficialCorpus)
    assert config.gated is True
    assert all(count >= 0 for count in found.official(config).values())
    assert kind in CATALOGUE


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_of_something_else_is_refused_by_every_adapter(kind, tmp_path):
    for letter in "abcdefghijkl":
        draw(tmp_path / f"tree/holiday/{letter}.tiff")
    with pytest.raises(MienError, match=r"holiday/a.tiff, .*holiday/j.tiff and 2 more") as caught:
        read(KINDS[kind], tmp_path / "tree")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_and_an_empty_source_are_refused_by_every_adapter(kind, tmp_path):
    with pytest.raises(
        MienError, match=r"corpora.mini.source is .*nowhere, which is not a folder; it must hold"
    ):
        read(KINDS[kind], tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MienError, match="no files"):
        read(KINDS[kind], tmp_path / "empty")


@pytest.mark.parametrize("wrap", ["cfp-dataset", "archives/cfp-dataset"])
def test_a_wrapped_tree_keeps_paths_from_the_source(tmp_path, wrap):
    draw(tmp_path / "source" / wrap / PICTURE)
    draw(tmp_path / "source/__MACOSX" / wrap / PICTURE)
    rows = read(CfpCorpus, tmp_path / "source")
    assert [(row["key"], row["path"]) for row in rows] == [
        ("data-images-001-frontal-01", f"{wrap}/{PICTURE}")
    ]


def test_two_trees_in_one_source_are_refused(tmp_path):
    draw(tmp_path / "source/one" / PICTURE)
    draw(tmp_path / "source/two" / PICTURE)
    with pytest.raises(MienError, match=r"holds the corpus twice, in .*one and .*two; move one"):
        read(CfpCorpus, tmp_path / "source")


def test_what_desktops_leave_behind_and_texts_are_no_trouble(tmp_path, caplog):
    source = tmp_path / "source"
    draw(source / PICTURE)
    for path in ("Thumbs.db", ".hidden.jpg", "Data/._01.jpg", "readme.txt"):
        write(source / path, "x")
    with caplog.at_level("INFO"):
        assert len(read(CfpCorpus, source)) == 1
    assert "mini: not read: readme.txt" in caplog.text


def test_the_manifest_is_the_same_again(tmp_path):
    for name in ("frontal/01.jpg", "profile/02.jpg"):
        draw(tmp_path / f"source/Data/Images/001/{name}")
    made = []
    for _ in range(2):
        read(CfpCorpus, tmp_path / "source")
        made.append((tmp_path / "corpus/manifest.parquet").read_bytes())
    assert made[0] == made[1]


def test_counts_by_hand():
    def row(path, expression=None, **more):
        return {"path": path, "expression": expression, "subject": None, "reject": None} | more

    rows = [
        row("a", "happy", split="train", subject="1"),
        row("a", "sad", split="train", subject="2", reject="copy of b"),
        row("b", None, split="test"),
        row("c", "happy", split="test", reject="missing"),
        row("d", "neutral", sequence="s"),
        row("e", "fear", sequence="s"),
        row("f", None, sequence="t"),
    ]
    counts = Counts()
    for each in rows:
        counts.add(each)
    assert counts.told() == {
        "rows": 6,
        "pictures": 5,
        "people": 2,
        "happy": 1,
        "sad": 1,
        "neutral": 1,
        "fear": 1,
        "train": 2,
        "train/happy": 1,
        "train/sad": 1,
        "train/labelled": 2,
        "test": 1,
        "sequences": 2,
        "sequences/labelled": 1,
        "sequences/fear": 1,
    }
