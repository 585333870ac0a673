"""Folders that count only when they are whole."""

import resource
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mien.config import MienError
from mien.training.storage import SEAL, Storage, is_intact, seal
from tests.object_store import ObjectStore, object_store


def folder(root: Path) -> Path:
    made = root / "made"
    (made / "inner").mkdir(parents=True)
    (made / "a.bin").write_bytes(b"abc")
    (made / "inner" / "b.bin").write_bytes(b"d" * 1000)
    return made


def test_a_folder_goes_up_and_comes_down(tmp_path: Path):
    store = Storage(str(tmp_path / "store"))
    store.put(folder(tmp_path), "cells/x")
    assert store.get("cells/x", tmp_path / "back")
    assert (tmp_path / "back" / "inner" / "b.bin").read_bytes() == b"d" * 1000


@pytest.mark.parametrize("harm", ["no seal", "torn seal", "torn file", "missing file"])
def test_what_is_not_whole_does_not_come_down(tmp_path: Path, harm: str):
    store = Storage(str(tmp_path / "store"))
    store.put(folder(tmp_path), "x")
    there = tmp_path / "store" / "x"
    if harm == "no seal":
        (there / SEAL).unlink()
    elif harm == "torn seal":
        (there / SEAL).write_text((there / SEAL).read_text()[:-4])
    elif harm == "torn file":
        (there / "inner" / "b.bin").write_bytes(b"d" * 999)
    else:
        (there / "a.bin").unlink()
    assert not store.get("x", tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_a_seal_knows_its_files(tmp_path: Path):
    made = folder(tmp_path)
    assert sorted(seal(made)) == ["a.bin", "inner/b.bin"]
    assert is_intact(made)
    (made / "a.bin").write_bytes(b"abd")
    assert not is_intact(made)


def test_json_is_none_when_torn_or_missing(tmp_path: Path):
    store = Storage(str(tmp_path))
    assert store.read_json("ids.json") is None
    store.write_json("ids.json", {"a": 1})
    assert store.read_json("ids.json") == {"a": 1}
    (tmp_path / "ids.json").write_text('{"a"')
    assert store.read_json("ids.json") is None


def test_a_place_that_cannot_be_opened_is_named():
    with pytest.raises(MienError, match=r"cluster\.storage is 'nonsense://x'"):
        Storage("nonsense://x")


@pytest.fixture(scope="module")
def bucket() -> Iterator[tuple[ObjectStore, str]]:
    with object_store() as made:
        yield made


def test_an_object_store_keeps_what_a_folder_keeps(bucket, tmp_path: Path):
    _, address = bucket
    store = Storage(f"{address}/kept")
    assert store.names() == []
    store.put(folder(tmp_path), "cells/x")
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == ["a.bin", "inner"]
    assert store.names() == ["cells"]
    assert store.get("cells/x", tmp_path / "back")
    assert (tmp_path / "back" / "inner" / "b.bin").read_bytes() == b"d" * 1000
    store.delete("cells/x")
    assert store.names() in ([], ["cells"])
    assert not store.get("cells/x", tmp_path / "again")
    assert store.read_json("ids.json") is None
    store.write_json("ids.json", {"a": 1})
    assert store.read_json("ids.json") == {"a": 1}


def test_an_outage_in_the_middle_is_waited_for_and_nothing_is_half_there(bucket, tmp_path: Path):
    store, address = bucket
    made = folder(tmp_path)
    for number in range(20):
        (made / f"{number}.bin").write_bytes(bytes([number]) * 100)
    place = Storage(f"{address}/busy")

    def away() -> None:
        store.status = 503
        threading.Timer(2.0, lambda: setattr(store, "status", None)).start()

    del store.asked[:]
    threading.Timer(0.02, away).start()
    place.put(made, "x")
    assert place.get("x", tmp_path / "back")
    assert is_intact(tmp_path / "back")
    assert (tmp_path / "back" / "19.bin").read_bytes() == bytes([19]) * 100


def test_one_file_comes_down_if_the_seal_knows_it(bucket, tmp_path: Path):
    server, address = bucket
    store = Storage(f"{address}/one")
    store.put(folder(tmp_path), "x")
    store.fetch("x/a.bin", tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == b"abc"
    server.write("one/x/a.bin", b"abd")
    with pytest.raises(MienError, match=r"x/a\.bin is not what its seal says"):
        store.fetch("x/a.bin", tmp_path / "b.bin")
    assert not (tmp_path / "b.bin").exists()
    with pytest.raises(MienError, match=r"x/c\.bin is missing"):
        store.fetch("x/c.bin", tmp_path / "c.bin")


def test_a_full_disk_is_one_sentence_and_the_folder_before_counts_no_longer_as_the_new_one(tmp_path: Path):
    store = Storage(str(tmp_path / "store"))
    made = folder(tmp_path)
    store.put(made, "x")
    (made / "inner" / "b.bin").write_bytes(b"e" * 5000)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))  # no file may be larger: as on a full disk
    try:
        with pytest.raises(MienError, match=r"store has no room left .* goes on from what is kept"):
            store.put(made, "x")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not store.get("x", tmp_path / "back")
    store.put(made, "x")
    assert store.get("x", tmp_path / "back")
