import json
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mien.config import MienError
from mien.config.corpora import FolderCorpus, RafDbCorpus, RenderedCorpus
from mien.corpora import make_corpus
from mien.corpora.adding import add_archive
from mien.corpora.members import Unpacking
from mien.manifest.tables import MANIFEST, read_table
from tests.corpora import hostile, sevens
from tests.corpora.test_archives import packed, tree
from tests.corpora.trees import draw

RAF = {
    "EmoLabel/list_patition_label.txt": b"train_00001.jpg 5\n",
    "Image/aligned/train_00001_aligned.jpg": b"jpg",
}


def official(kind: str, source: str = "data/raw") -> Any:
    return SimpleNamespace(kind=kind, source=source, gated=True)


def folder(source: str = "data/raw") -> FolderCorpus:
    return FolderCorpus(kind="folder", source=source, classes={"glad": "happy", "calm": "neutral"})


def added(root: Path, path: Path, config: Any, progress: Any = lambda done, total: None) -> dict[str, bytes]:
    """What lies at the corpus's source afterwards; nothing but it and its digests may be left."""
    add_archive("mine", config, root, path, progress)
    target = root / config.source
    assert {p.name for p in target.parent.iterdir()} == {target.name, f"{target.name}.digests.json"}
    return tree(target)


@pytest.mark.parametrize("name", ["raf.zip", "raf.tar", "raf.tar.gz", "raf.7z"])
def test_an_archive_becomes_the_source(tmp_path, name):
    assert added(tmp_path, packed(tmp_path / name, RAF), official("raf_db")) == RAF
    record = json.loads((tmp_path / "data" / "raw.digests.json").read_text())
    assert [(part["name"], part["bytes"]) for part in record] == [(name, (tmp_path / name).stat().st_size)]
    assert len(record[0]["sha256"]) == 64


def test_folders_around_a_layout_fall_away_and_are_named(tmp_path, caplog):
    files = {f"RAF-DB/basic/{name}": data for name, data in RAF.items()} | {"RAF-DB/readme.pdf": b"read"}
    assert added(tmp_path, packed(tmp_path / "x.zip", files), official("raf_db")) == RAF
    assert "left out: RAF-DB/readme.pdf" in caplog.text


def test_an_archive_in_the_archive_opens_where_it_lies(tmp_path):
    inner = packed(tmp_path / "aligned.zip", {"aligned/train_00001_aligned.jpg": b"jpg"}).read_bytes()
    files = {
        "basic/EmoLabel/list_patition_label.txt": b"train_00001.jpg 5\n",
        "basic/Image/aligned.zip": inner,
    }
    assert added(tmp_path, packed(tmp_path / "x.tar", files), official("raf_db")) == RAF


def test_a_folder_of_archives_and_files_becomes_one_tree(tmp_path):
    (tmp_path / "got").mkdir()
    packed(tmp_path / "got" / "fer2013.tar.gz", {"fer2013/fer2013.csv": b"a", "fer2013/README": b"b"})
    (tmp_path / "got" / "fer2013new.csv").write_bytes(b"c")
    into = added(tmp_path, tmp_path / "got", official("ferplus"))
    assert into == {"fer2013.csv": b"a", "README": b"b", "fer2013new.csv": b"c"}
    record = json.loads((tmp_path / "data" / "raw.digests.json").read_text())
    assert [(part["name"], part["bytes"]) for part in record][1:] == [(".", 1)]
    assert (tmp_path / "got" / "fer2013.tar.gz").is_file()


def test_several_archives_of_one_corpus(tmp_path):
    got = tmp_path / "got"
    got.mkdir()
    packed(got / "extended-cohn-kanade-images.zip", {"cohn-kanade-images/S005/001/a.png": b"1"})
    packed(got / "Emotion_labels.zip", {"Emotion/S005/001/a_emotion.txt": b"3"})
    packed(got / "Landmarks.zip", {"Landmarks/S005/001/a_landmarks.txt": b"2"})
    assert set(added(tmp_path, got, official("ck_plus"))) == {
        "cohn-kanade-images/S005/001/a.png",
        "Emotion/S005/001/a_emotion.txt",
        "Landmarks/S005/001/a_landmarks.txt",
    }


def test_volumes_of_a_7z_in_a_folder_become_one_tree(tmp_path):
    """As copies of ExpW have it."""
    image = tmp_path / "expw" / "image"
    image.mkdir(parents=True)
    (tmp_path / "expw" / "label").mkdir()
    (tmp_path / "expw" / "label" / "label.lst").write_bytes(b"list")
    sevens.volumes(packed(image / "origin.7z", {"origin/a.jpg": b"1", "origin/b.jpg": b"2"}), 90)
    want = {"label/label.lst": b"list", "image/origin/a.jpg": b"1", "image/origin/b.jpg": b"2"}
    assert added(tmp_path, tmp_path / "expw", official("expw")) == want


def test_each_volume_of_a_7z_is_known_by_its_digest(tmp_path):
    first = sevens.volumes(packed(tmp_path / "raf.7z", RAF), 150)
    volumes = sorted(tmp_path.glob("raf.7z.*"))
    assert added(tmp_path, first, official("raf_db")) == RAF
    record = json.loads((tmp_path / "data" / "raw.digests.json").read_text())
    assert [part["name"] for part in record] == [path.name for path in volumes]
    volumes[-1].write_bytes(volumes[-1].read_bytes() + b"1")
    with pytest.raises(MienError, match=rf"{volumes[-1].name} of corpora.mine is not what was added first"):
        add_archive("mine", official("raf_db"), tmp_path, first, lambda done, total: None)


def test_volumes_beside_other_files_of_a_folder(tmp_path):
    (tmp_path / "give").mkdir()
    sevens.volumes(packed(tmp_path / "give" / "raf.7z", RAF), 150)
    (tmp_path / "give" / "readme.txt").write_bytes(b"read")
    assert added(tmp_path, tmp_path / "give", official("raf_db")) == RAF | {"readme.txt": b"read"}


def test_ones_own_photographs(tmp_path):
    files = {"photos/glad/1.jpg": b"1", "photos/calm/2.jpg": b"2"}
    into = added(tmp_path, packed(tmp_path / "x.zip", files), folder())
    assert into == {"glad/1.jpg": b"1", "calm/2.jpg": b"2"}


def test_another_corpus_is_refused_with_what_is_missing_and_found(tmp_path):
    files = {f"f{k:02d}.jpg": b"1" for k in range(14)} | {"Image/x": b"1"}
    with pytest.raises(MienError) as caught:
        added(tmp_path, packed(tmp_path / "x.zip", files), official("raf_db"))
    sentence = str(caught.value)
    assert "EmoLabel/list_patition_label.txt is missing of EmoLabel/" in sentence
    assert "f08.jpg" in sentence
    assert "f09.jpg" not in sentence  # ten are named, Image/x is the first
    assert list((tmp_path / "data").iterdir()) == []
    with pytest.raises(
        MienError, match=r"glad is missing of one of the folders glad, calm; it holds Image/x, f00"
    ):
        added(tmp_path, tmp_path / "x.zip", folder())


def test_again_is_nothing_new_and_a_changed_archive_is_noticed(tmp_path):
    archive = packed(tmp_path / "x.zip", RAF)
    added(tmp_path, archive, official("raf_db"))
    inode = (tmp_path / "data" / "raw").stat().st_ino
    said = add_archive(
        "mine", official("raf_db"), tmp_path, archive.rename(tmp_path / "y.zip"), lambda d, t: None
    )
    assert "is there already" in said
    packed(tmp_path / "y.zip", RAF | {"Image/new": b"1"})
    with pytest.raises(
        MienError, match=r"^y.zip of corpora.mine is not what was added first \(sha256 .* move .*raw"
    ):
        added(tmp_path, tmp_path / "y.zip", official("raf_db"))
    assert tree(tmp_path / "data" / "raw") == RAF
    assert (tmp_path / "data" / "raw").stat().st_ino == inode


def test_a_changed_archive_is_noticed_when_its_folder_is_gone(tmp_path):
    added(tmp_path, packed(tmp_path / "x.zip", RAF), official("raf_db"))
    (tmp_path / "data" / "raw").rename(tmp_path / "gone")
    assert added(tmp_path, tmp_path / "x.zip", official("raf_db")) == RAF
    (tmp_path / "data" / "raw").rename(tmp_path / "gone too")
    with pytest.raises(MienError, match="not what was added first"):
        added(tmp_path, packed(tmp_path / "x.zip", RAF | {"Image/new": b"1"}), official("raf_db"))


def test_a_source_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "data" / "raw").mkdir(parents=True)
    assert (
        added(tmp_path, packed(tmp_path / "x.zip", RAF), official("raf_db")) == RAF
    )  # an empty one is taken
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("mine")
    with pytest.raises(MienError, match=r"other is not empty; move it away"):
        added(tmp_path, tmp_path / "x.zip", official("raf_db", "other"))
    assert tree(tmp_path / "other") == {"mine.txt": b"mine"}


def test_a_hostile_archive_leaves_nothing(tmp_path):
    (tmp_path / "data").mkdir()
    with pytest.raises(MienError, match="leads out"):
        added(tmp_path, packed(tmp_path / "x.tar", RAF | {"../../x": b"1"}), official("raf_db"))
    assert list((tmp_path / "data").iterdir()) == []
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data", "x.tar"]


def test_a_full_disk_leaves_the_earlier_state(tmp_path, monkeypatch):
    archive = packed(tmp_path / "x.zip", RAF)
    put = Unpacking.put

    def full(self: Unpacking, source: Any, target: Path, size: int) -> None:
        put(self, source, target, size)
        (self.scratch / "part").symlink_to("/dev/full")  # the second write finds a full disk

    monkeypatch.setattr(Unpacking, "put", full)
    with pytest.raises(MienError, match=r"The disk of .* is full, nothing was changed; make room"):
        added(tmp_path, archive, official("raf_db"))
    assert list((tmp_path / "data").iterdir()) == []


def test_a_call_that_was_killed_goes_on(tmp_path):
    archive = packed(tmp_path / "x.tar", RAF | {f"Image/{k}": os.urandom(9) for k in range(9)})

    calls = 0

    def stop(done: int, total: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        added(tmp_path, archive, official("raf_db"), stop)
    assert [p.name for p in (tmp_path / "data").iterdir()] == [".raw.adding"]
    kept = {p.name: p.stat().st_ino for p in (tmp_path / "data").rglob("Image/?")}
    assert 0 < len(kept) < 9
    added(tmp_path, archive, official("raf_db"))
    now = {p.name: p.stat().st_ino for p in (tmp_path / "data" / "raw" / "Image").glob("?")}
    assert len(now) == 9
    assert {name: now[name] for name in kept} == kept


def test_what_was_left_by_another_archive_is_not_used(tmp_path):
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        added(tmp_path, packed(tmp_path / "x.zip", {"old": b"1"} | RAF), official("raf_db"), stop)
    assert list((tmp_path / "data").rglob("old"))
    assert added(tmp_path, packed(tmp_path / "x.zip", RAF), official("raf_db")) == RAF


def test_two_at_once(tmp_path):
    archive = packed(tmp_path / "x.zip", RAF)
    met = []

    def meanwhile(done: int, total: int) -> None:
        if not met:
            met.append(True)
            with pytest.raises(MienError, match="at work in"):
                add_archive("mine", official("raf_db"), tmp_path, archive, lambda d, t: None)

    assert added(tmp_path, archive, official("raf_db"), meanwhile) == RAF
    assert met


def test_nothing_is_fetched_and_the_owner_is_named(tmp_path):
    with pytest.raises(
        MienError, match=r"is neither a file nor a folder; mien fetches nothing, ask .*whdeng.cn"
    ):
        added(tmp_path, tmp_path / "https://example.org/raf.zip", official("raf_db"))
    with pytest.raises(MienError, match="is rendered, it takes no archive"):
        added(tmp_path, tmp_path, RenderedCorpus(kind="rendered", people=2, expressions=["happy"]))
    os.mkfifo(tmp_path / "pipe")  # reading it would wait for ever
    with pytest.raises(MienError, match="neither a file nor a folder"):
        added(tmp_path, tmp_path / "pipe", official("raf_db"))
    with pytest.raises(MienError, match="lie within each other"):
        added(tmp_path, tmp_path, official("raf_db"))


def test_gated_pictures_do_not_go_where_git_would_take_them(tmp_path):
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    archive = packed(tmp_path / "x.zip", RAF)
    with pytest.raises(MienError, match=r"source is data/raw, which git would take into the repository"):
        added(tmp_path, archive, official("raf_db"))
    assert not (tmp_path / "data").exists()
    (tmp_path / ".gitignore").write_text("/data/\n")
    assert added(tmp_path, archive, official("raf_db")) == RAF


def test_a_record_that_is_none_is_named(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "raw.digests.json").write_text("[1]")
    with pytest.raises(MienError, match=r"raw.digests.json is not a record of digests"):
        added(tmp_path, hostile.zip_with(tmp_path / "x.zip", *RAF.items()), official("raf_db"))


def test_what_was_added_is_read_by_its_adapter(tmp_path, monkeypatch):
    """Archives as an owner may ship them, wrapped, in parts and within each other, up to the manifest."""
    monkeypatch.chdir(tmp_path)
    draw(tmp_path / "1.png")
    picture = (tmp_path / "1.png").read_bytes()
    labels = b"train_00001.jpg 5\ntest_0001.jpg 1\n"
    faces = {f"aligned/{name}_aligned.jpg": picture + name.encode() for name in ("train_00001", "test_0001")}
    aligned = packed(tmp_path / "aligned.zip", faces).read_bytes()
    packed(
        tmp_path / "raf.tar.gz",
        {"basic/EmoLabel/list_patition_label.txt": labels, "basic/Image/aligned.zip": aligned},
    )
    raf = RafDbCorpus(kind="raf_db", source="data/raf")
    add_archive("raf", raf, tmp_path, tmp_path / "raf.tar.gz", lambda d, t: None)
    make_corpus("raf", raf, tmp_path / "made", tmp_path / "basis", lambda d, t: None)
    rows = read_table(tmp_path / "made" / "manifest.parquet", MANIFEST).to_pylist()
    assert [(row["split"], row["expression"]) for row in rows] == [("test", "surprise"), ("train", "sad")]


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "data").write_text("a file")
    with pytest.raises(
        MienError, match=r"data/raw.* cannot be read or written \(Not a directory\)|data cannot be"
    ):
        added(tmp_path, packed(tmp_path / "x.zip", RAF), official("raf_db"))
    assert (tmp_path / "data").read_text() == "a file"
