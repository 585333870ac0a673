"""Folders that count only when they are whole."""

from pathlib import Path

import pytest

from mien.config import MienError
from mien.training.storage import SEAL, Storage, is_intact, seal


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
