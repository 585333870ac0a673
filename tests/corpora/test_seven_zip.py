import base64
import os
import stat
import subprocess
import sys
import zlib

import pytest

from mien.config import MienError
from mien.corpora.archives import unpack
from mien.corpora.members import Limits
from tests.corpora import sevens
from tests.corpora.test_archives import BOMBS, FILES, opened, packed, refuses, tree

# `7zz a -mx=5 -mmt=1 -mtm=off -m0=lzma2:d=64k x.7z .` by 7-Zip 26.01 in a folder that holds FILES and an
# empty folder; and the same with lzma
LZMA2 = (
    "N3q8ryccAASWl8nhmwEAAAAAAAAiAAAAAAAAAGY9MAPgKAQBGF0AMxpKrAxxzBeIhsqcRs2slWQ1HGErUw2O0+4AMSllgedgVRoV"
    "S/huBtorxVe3Ckq6iqRgFbXXjwuLOGXsWaGQatXi4oseCxYfQODsP/ZVyAGLJ8eMLnv9aNxkdQz0DG2wc5Cr91DJs7lFcC9iB3xN"
    "0Aj4v7qzVh6WM0xxVA/c/VVBQVJ4JQAofkzRSJ4kaNfuzofNov0M8VmJQai7AKAqYKVA4hZNiYs4w2M8oUMLUu8ugG6vSdZLYI93"
    "GvFOZ/YQtRx1jPATL4enwJVjzS+ISrzd0g+tPLIfui930BuYphbrqic9Xzfo0FORWxm5U5qbI8SMh17fCxZy96vtuQ427jxK1+fE"
    "UgiOCAuBKQuCN5wFFPGBb4YoAAAAAIEzB64P1TiHWRck0/6zcCII0wWz96G7Zw9okzWSIrq0wizAmrvnWBCWV/ru/PRpElurPLzt"
    "RcQwn7oT12W54DhF9I/ntz7kipsgbbtWQEU3HA637xgterrF/wYw9HFrZ2mjo4j3wV6VLVA8RaBcOxflTkDXI70K+gAXBoEgAQl7"
    "AAcLAQABIwMBAQVdABAAAAyAwgoBy+2DjwAA"
)
LZMA = (
    "N3q8ryccAAR/hIIXmQEAAAAAAAAjAAAAAAAAAPC89AYAMxpKrAxxzBeIhsqcRs2slWQ1HGErUw2O0+4AMSllgedgVRoVS/huBtor"
    "xVe3Ckq6iqRgFbXXjwuLOGXsWaGQatXi4oseCxYfQODsP/ZVyAGLJ8eMLnv9aNxkdQz0DG2wc5Cr91DJs7lFcC9iB3xN0Aj4v7qz"
    "Vh6WM0xxVA/c/VVBQVJ4JQAofkzRSJ4kaNfuzofNov0M8VmJQai7AKAqYKVA4hZNiYs4w2M8oUMLUu8ugG6vSdZLYI93GvFOZ/YQ"
    "tRx1jPATL4enwJVjzS+ISrzd0g+tPLIfui930BuYphbrqic9Xzfo0FORWxm5U5qbI8SMh17fCxZy96vtuQ427jxK1+fEUgiOCAuB"
    "KQuCN5wFFPGBb4YoAAAAgTMHrg/VOF+jecZm2o4cYVMb/XIcjBw7rklre2iBbCLgrWrYahGK0jWLQ2UNTkjRMtaYfSG0Pc/RLCeE"
    "AfQt/BF69RNNK3p9RHVUtdcGF/hTTaemGEoZA98RM6Zgy3ePt9wX/FA3Dl6rGdcMOcNCie7rfiniBDwKEbeLGuwAFwaBGQEJgIAA"
    "BwsBAAEjAwEBBV0AEAAADIDCCgGwuNOhAAA="
)


@pytest.mark.parametrize("text", [LZMA2, LZMA])
def test_what_7_zip_packs_comes_out(tmp_path, text):
    (tmp_path / "x.7z").write_bytes(base64.b64decode(text))
    assert opened(tmp_path / "x.7z") == FILES


def test_stored_files_and_a_packed_directory(tmp_path):
    data = os.urandom(3000)
    stored = sevens.one_file(tmp_path / "x.7z", data, len(data), zlib.crc32(data), b"\x01\x00")
    assert opened(stored) == {"x": data}
    (tmp_path / "2").mkdir()
    small = sevens.seven_zip(tmp_path / "2" / "x.7z", FILES | {"none": None}, small=True)
    assert opened(small) == FILES


def test_an_archive_of_nothing(tmp_path):
    assert opened(sevens.archive(tmp_path / "x.7z", b"", b"")) == {}
    assert opened(sevens.seven_zip(tmp_path / "y.7z", {"none": None, "empty": b""})) == {"empty": b""}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../x", "leads out"),
        ("..\\x", "leads out"),
        ("/tmp/x", "absolute path"),
        ("C:\\x", "absolute path"),
        ("a\x1b[2Jb", "no file should be called"),
        ("a" * 256, "too long"),
        ("\ud800", "cut off or damaged"),
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(tmp_path, name, words):
    refuses(sevens.seven_zip(tmp_path / "x.7z", {"good": b"1", name: b"bad"}), words)


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_links_and_devices_are_refused(tmp_path, mode):
    attributes = {"x": 0x8000 | (mode | 0o777) << 16}
    refuses(sevens.seven_zip(tmp_path / "x.7z", {"x": b"/etc/passwd"}, attributes), "a link or a device")
    junction = {"x": 0x400}  # a link as Windows has them
    refuses(sevens.seven_zip(tmp_path / "y.7z", {"x": b"/etc/passwd"}, junction), "a link or a device")


def test_one_name_for_two_things_is_refused(tmp_path):
    refuses(sevens.seven_zip(tmp_path / "x.7z", {"a": b"1", "./a": b"2"}), "names a file twice")
    words = "as a file and as a folder"
    refuses(sevens.seven_zip(tmp_path / "y.7z", {"d/e": b"2", "d": b"1"}), words)


def test_a_password_and_a_rare_compression_are_named(tmp_path):
    aes = b"\x24\x06\xf1\x07\x01" + sevens.number(1) + b"\0"
    refuses(sevens.one_file(tmp_path / "x.7z", b"1", 1, settings=aes), "password.*unpack it yourself")
    bzip2 = b"\x03\x04\x02\x02"
    refuses(sevens.one_file(tmp_path / "y.7z", b"1", 1, settings=bzip2), "packed in a rare way")


def test_what_is_claimed_and_not_there_is_refused(tmp_path):
    data = b"picture" * 100
    packed, crc = sevens.lzma2(data), zlib.crc32(data)
    damage = "cut off or damaged"
    assert opened(sevens.one_file(tmp_path / "good.7z", packed, 700, crc)) == {"x": data}
    refuses(sevens.one_file(tmp_path / "wrong.7z", packed, 700, crc ^ 1), damage)
    refuses(sevens.one_file(tmp_path / "more.7z", packed, 701, crc), damage)
    refuses(sevens.one_file(tmp_path / "less.7z", packed, 699, crc), damage)
    lost = sevens.archive(tmp_path / "lost.7z", b"", b"\x01\0", lost=5)
    refuses(lost, "it ends before its directory; is a volume missing")
    # a directory may say anything: each of its bytes in turn is another
    directory = b"\x01\x04" + sevens.stream(packed, 700, crc, sevens.coder()) + b"\0"
    directory += sevens.files({"x": (data, sevens.FILE)}) + b"\0"
    told = []
    for at in range(len(directory)):
        home = tmp_path / str(at)
        home.mkdir()
        other = directory[:at] + bytes([directory[at] ^ 255]) + directory[at + 1 :]
        try:
            opened(sevens.archive(home / "x.7z", packed, other))
        except MienError as error:
            told.append(str(error))
    assert len(told) > len(directory) / 2
    assert all("refused" in sentence for sentence in told)


def test_volumes_are_read_as_one(tmp_path):
    first = sevens.volumes(packed(tmp_path / "x.7z"), 100)
    assert len(list(tmp_path.glob("x.7z.*"))) > 3
    assert opened(first) == FILES
    for name, words in (("x.7z.003", "is a volume missing"), ("x.7z.002", "is a volume missing")):
        (tmp_path / name).unlink()
        with pytest.raises(MienError, match=words):
            unpack(first, tmp_path / "again", tmp_path / "scratch")
    (tmp_path / "later").mkdir()
    with pytest.raises(MienError, match="or not the first volume"):
        unpack(tmp_path / "x.7z.004", tmp_path / "again", tmp_path / "scratch")


def test_volumes_within_an_archive(tmp_path):
    sevens.volumes(packed(tmp_path / "in.7z", {"in/a": b"1", "in/b": b"2"}), 90)
    parts = {f"image/{p.name}": p.read_bytes() for p in tmp_path.glob("in.7z.*")}
    assert len(parts) > 2
    outer = packed(tmp_path / "outer.zip", parts | {"label.lst": b"3"})
    assert opened(outer) == {"image/in/a": b"1", "image/in/b": b"2", "label.lst": b"3"}


def test_bombs_cost_neither_memory_nor_disk(tmp_path):
    ten = 10 * 1024
    zeros = sevens.zeros(ten)
    crowd = {f"{k:06x}": (b"", sevens.FILE) for k in range(200_000)}
    directory = b"\x01" + sevens.files(crowd) + b"\0"
    large = b"\x17" + sevens.stream(zeros, ten << 20, None, sevens.coder()) + b"\0"
    said = sevens.lzma2(directory)
    small = b"\x17" + sevens.stream(said, len(directory), None, sevens.coder()) + b"\0"
    bombs = {
        sevens.one_file(tmp_path / "honest.7z", zeros, ten << 20): "would become more than",
        sevens.one_file(tmp_path / "lying.7z", zeros, 1 << 20): "cut off or damaged",
        sevens.archive(tmp_path / "entries.7z", b"", directory): "more than 150,000 files",
        sevens.archive(tmp_path / "packed.7z", said, small): "more than 150,000 files",
        sevens.archive(tmp_path / "directory.7z", zeros, large): "a directory for more than 150,000 files",
        sevens.one_file(
            tmp_path / "memory.7z", zeros, 1 << 20, settings=sevens.coder(36)
        ): "1,024 MiB of memory",
    }
    assert all(bomb.stat().st_size < 64 << 20 for bomb in bombs)
    words = [sys.executable, "-c", BOMBS, str(tmp_path / "room"), *map(str, bombs)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
    *told, (_, peak) = (line.split("|") for line in done.stdout.splitlines())
    assert [name for name, _ in told] == [bomb.name for bomb in bombs]
    for (name, sentence), words in zip(told, bombs.values(), strict=True):
        assert words in sentence, name
    assert int(peak) < 300  # MiB
    assert sum(len(data) for data in tree(tmp_path / "room").values()) <= 1 << 20


def test_memory_does_not_grow_with_the_archive(tmp_path):
    """What py7zr did: 38 MB of small files that cannot be packed stay in memory."""
    large = {f"{k}.jpg": os.urandom(64_000) for k in range(600)}
    archive = sevens.seven_zip(tmp_path / "x.7z", large, pack=sevens.unpressed)
    words = [sys.executable, "-c", BOMBS, str(tmp_path / "room"), str(archive)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
    ((_, peak),) = (line.split("|") for line in done.stdout.splitlines())
    assert tree(tmp_path / "room" / "into") == large
    assert int(peak) < 70  # MiB, Python's own among them


def test_limits_count_what_the_directory_claims(tmp_path):
    archive = packed(tmp_path / "x.7z")
    refuses(archive, "more than 2 files", Limits(files=2))
