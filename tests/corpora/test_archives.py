import io
import os
import stat
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from mien.config import MienError
from mien.corpora.archives import copy_folder, unpack
from mien.corpora.members import Limits, safe_parts
from tests.corpora import hostile, sevens

FILES = {"a.txt": b"first", "deep/er/b.bin": bytes(range(256)) * 40, "deep/empty": b""}
FORMATS = ["x.zip", "x.tar", "x.tar.gz", "x.7z"]


def packed(path: Path, files: dict[str, bytes] = FILES) -> Path:
    if path.name.endswith(".zip"):
        return hostile.zip_with(path, *files.items())
    if path.name.endswith(".7z"):
        return sevens.seven_zip(path, dict(files))
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o6777
            tar.addfile(member, io.BytesIO(data))
    return path


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def opened(archive: Path, limits: Limits | None = None) -> dict[str, bytes]:
    """What an archive becomes; whatever happens, nothing else changes around the target."""
    home = archive.parent
    before = set(home.rglob("*"))
    try:
        unpack(archive, home / "into", home / "scratch", limits)
    finally:
        new = {p.relative_to(home).parts[0] for p in home.rglob("*") if p not in before}
        assert new <= {"into", "scratch"}
    return tree(home / "into")


def refuses(archive: Path, words: str, limits: Limits | None = None) -> None:
    with pytest.raises(MienError, match=words) as caught:
        opened(archive, limits)
    assert "\n" not in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", FORMATS)
def test_files_come_out_as_they_went_in(tmp_path, name):
    assert opened(packed(tmp_path / name)) == FILES


@pytest.mark.parametrize("name", FORMATS)
def test_the_format_is_told_by_content(tmp_path, name):
    assert opened(packed(tmp_path / name).rename(tmp_path / "archive")) == FILES


def test_no_mode_comes_out_of_an_archive(tmp_path):
    opened(packed(tmp_path / "x.tar"))
    assert stat.S_IMODE((tmp_path / "into" / "a.txt").stat().st_mode) & 0o7111 == 0


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../x", "leads out"),
        ("a/../../x", "leads out"),
        ("a/..", "leads out"),
        ("..\\x", "leads out"),
        ("/tmp/x", "absolute path"),
        ("\\\\host\\x", "absolute path"),
        ("C:\\x", "absolute path"),
        ("c:x", "absolute path"),
        ("a\nb", "no file should be called"),
        ("a\x1b[2Jb", "no file should be called"),
        ("a" * 256, "too long"),
        ("/".join("abc" for _ in range(33)), "too long"),
        ("/".join("a" * 250 for _ in range(5)), "too long"),
    ],
)
@pytest.mark.parametrize("form", ["x.zip", "x.tar"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path, form, name, words):
    refuses(packed(tmp_path / form, {"good": b"1", name: b"bad"}), words)


def test_a_name_with_a_nul_is_refused_in_a_zip(tmp_path):
    archive = packed(tmp_path / "x.zip", {"good_bad": b"1"})
    archive.write_bytes(archive.read_bytes().replace(b"good_bad", b"good\0bad"))
    refuses(archive, "no file should be called")


def test_names_by_hand():
    assert safe_parts(Path("x"), "./a//b\\c.jpg") == ("a", "b", "c.jpg")
    assert safe_parts(Path("x"), "a/..b/c..") == ("a", "..b", "c..")
    assert safe_parts(Path("x"), "./") is None
    assert safe_parts(Path("x"), "__MACOSX/a/._b.jpg") is None
    assert safe_parts(Path("x"), "a/Thumbs.db") is None
    with pytest.raises(MienError, match="too long"):
        safe_parts(Path("x"), "\ud800")


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_links_and_devices_in_a_zip_are_refused(tmp_path, mode):
    info = zipfile.ZipInfo("x")
    info.create_system, info.external_attr = 3, (mode | 0o777) << 16
    refuses(hostile.zip_with(tmp_path / "x.zip", (info, b"/etc/passwd")), "a link or a device")


@pytest.mark.parametrize(
    "kind",
    [
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.CHRTYPE,
        tarfile.BLKTYPE,
        tarfile.FIFOTYPE,
        tarfile.GNUTYPE_SPARSE,
    ],
)
@pytest.mark.parametrize("target", ["good", "/etc/passwd", "../../x"])
def test_links_devices_and_sparse_files_in_a_tar_are_refused(tmp_path, kind, target):
    path = tmp_path / "x.tar"
    path.write_bytes(hostile.header("good") + hostile.header("x", kind=kind, link=target) + bytes(1024))
    refuses(path, "holds 'x', a link, a device or a sparse file")


def test_a_link_then_a_file_through_it_writes_nothing_outside(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    path = tmp_path / "x.tar"
    link = hostile.header("way", kind=tarfile.SYMTYPE, link=str(outside))
    path.write_bytes(link + hostile.header("way/x", 1) + b"1".ljust(512, b"\0") + bytes(1024))
    refuses(path, "a link")
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("form", ["x.zip", "x.tar"])
def test_one_name_for_two_things_is_refused(tmp_path, form):
    path = tmp_path / form
    if form == "x.zip":
        with pytest.warns(UserWarning, match="Duplicate"):
            hostile.zip_with(path, ("a", b"1"), ("a", b"2"))
    else:
        hostile.tar_with(path, (tarfile.TarInfo("a"), b"1"), (tarfile.TarInfo("a"), b"2"))
    refuses(path, "names a file twice")
    refuses(
        packed(tmp_path / f"1{form}", {"b": b"1", "b/c": b"2"}),
        "as a file and as a folder|cut off or damaged",
    )
    refuses(packed(tmp_path / f"2{form}", {"d/e": b"2", "d": b"1"}), "as a file and as a folder")


@pytest.mark.parametrize("name", FORMATS)
def test_a_cut_archive_is_refused_wherever_it_is_cut(tmp_path, name):
    files = {f"{k}.bin": os.urandom(700) for k in range(4)}
    whole = packed(tmp_path / name, files).read_bytes()
    content = (
        len(whole) if name != "x.tar" else 4 * (512 + 1024)
    )  # a tar may lack the last of its empty blocks
    for k, end in enumerate({1, 300, 512, 513, 1536, 2048, 2100, content // 2, content - 600, content - 1}):
        home = tmp_path / str(k)
        home.mkdir()
        (home / name).write_bytes(whole[:end])
        refuses(home / name, "refused|no zip")


@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz", "x.7z"])
def test_a_flipped_byte_is_noticed(tmp_path, name):
    data = bytearray(packed(tmp_path / name, {"a": os.urandom(5000)}).read_bytes())
    data[2000] ^= 255
    (tmp_path / name).write_bytes(data)
    refuses(tmp_path / name, "cut off or damaged")


def test_a_damaged_header_does_not_end_a_tar_early(tmp_path):
    data = bytearray(packed(tmp_path / "x.tar", {"a": b"1" * 512, "b": b"2" * 512}).read_bytes())
    data[1024 + 150] ^= 255  # in the checksum of the second header
    (tmp_path / "x.tar").write_bytes(data)
    refuses(tmp_path / "x.tar", "has no end")


def test_what_mien_does_not_open_is_named(tmp_path):
    (tmp_path / "x.rar").write_bytes(b"Rar!\x1a\x07" + bytes(100))
    refuses(tmp_path / "x.rar", "is a rar archive.*unpack it yourself and give the folder")
    (tmp_path / "x.csv").write_text("a,b\n")
    refuses(tmp_path / "x.csv", "is no zip, tar, tar.gz or 7z")


def test_a_password_and_a_rare_compression_are_named(tmp_path):
    locked = bytearray(packed(tmp_path / "x.zip").read_bytes())
    at = locked.index(b"PK\1\2")
    locked[at + 8] |= 1
    (tmp_path / "x.zip").write_bytes(locked)
    refuses(tmp_path / "x.zip", "password.*unpack it yourself")
    with zipfile.ZipFile(tmp_path / "y.zip", "w", zipfile.ZIP_LZMA) as zipped:
        zipped.writestr("a", b"1" * 100)
    refuses(tmp_path / "y.zip", "rare compression")


@pytest.mark.parametrize("name", FORMATS)
def test_limits(tmp_path, name):
    archive = packed(tmp_path / name)
    refuses(archive, "more than 2 files", Limits(files=2))
    refuses(archive, "more than 0 MiB", Limits(unpacked_bytes=10_000))
    assert opened(archive, Limits(files=3, unpacked_bytes=5 + 256 * 40)) == FILES


def test_archives_within_archives(tmp_path):
    packed(tmp_path / "one.tar.gz", {"one/a": b"1"})
    packed(tmp_path / "many.zip", {"b": b"2", "c": b"3"})
    inner = {p: (tmp_path / p).read_bytes() for p in ("one.tar.gz", "many.zip")}
    packed(tmp_path / "mid.tar", {"mid/" + name: data for name, data in inner.items()})
    outer = packed(tmp_path / "outer.zip", {"x/mid.tar": (tmp_path / "mid.tar").read_bytes(), "y": b"4"})
    # one folder in an archive stands for it; several things get a folder of the archive's name
    assert opened(outer) == {"x/mid/one/a": b"1", "x/mid/many/b": b"2", "x/mid/many/c": b"3", "y": b"4"}


def test_parts_of_one_folder_meet_and_do_not_overwrite(tmp_path):
    halves = [
        packed(tmp_path / f"{k}.zip", {f"d/{k}": b"1", "d/same": b"2", "d/own": own})
        for k, own in ((1, b"a"), (2, b"b"))
    ]
    outer = packed(tmp_path / "outer.tar", {p.name: p.read_bytes() for p in halves})
    refuses(outer, "two archives hold different files 'own'|Two archives hold different files 'own'")
    again = packed(tmp_path / "again.tar", {"1.zip": halves[0].read_bytes(), "2.zip": halves[0].read_bytes()})
    (tmp_path / "2").mkdir()
    unpack(again, tmp_path / "2" / "into", tmp_path / "2" / "scratch")
    assert tree(tmp_path / "2" / "into") == {"d/1": b"1", "d/same": b"2", "d/own": b"a"}


def test_archives_too_deep_are_refused(tmp_path):
    packed(tmp_path / "0.zip", {"a": b"1"})
    for k in range(4):
        packed(tmp_path / f"{k + 1}.zip", {f"{k}.zip": (tmp_path / f"{k}.zip").read_bytes()})
    assert opened(tmp_path / "3.zip") == {"2/1/0/a": b"1"}
    (tmp_path / "deep").mkdir()
    refuses((tmp_path / "4.zip").rename(tmp_path / "deep" / "4.zip"), "more than 3 deep")


def test_limits_hold_for_all_that_is_within(tmp_path):
    packed(tmp_path / "in.zip", {str(k): b"" for k in range(6)})
    data = (tmp_path / "in.zip").read_bytes()
    outer = packed(tmp_path / "outer.zip", {"1.zip": data, "2.zip": data})
    refuses(outer, "more than 13 files", Limits(files=13))


def test_a_full_disk_is_one_sentence(tmp_path):
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / "part").symlink_to("/dev/full")  # a write to it fails as on a full disk
    for name in FORMATS:
        with pytest.raises(
            MienError, match=r"^The disk of .*into is full, nothing was changed; make room"
        ) as caught:
            unpack(packed(tmp_path / name), tmp_path / "into", tmp_path / "scratch")
        assert isinstance(caught.value.__cause__, OSError)
    assert tree(tmp_path / "into") == {}


@pytest.mark.parametrize("name", FORMATS)
def test_a_disk_too_small_is_found_before_it_is_full(tmp_path, name, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 100})())
    with pytest.raises(MienError, match="The disk of"):
        unpack(packed(tmp_path / name, {"a": bytes(101)}), tmp_path / "into", tmp_path / "scratch")
    assert tree(tmp_path / "into") == {}


@pytest.mark.parametrize("name", FORMATS)
def test_a_broken_off_call_goes_on_where_it_stopped(tmp_path, name):
    archive = packed(tmp_path / name, {str(k): os.urandom(50) for k in range(9)})
    calls = 0

    def stop(done: int, total: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        unpack(archive, tmp_path / "into", tmp_path / "scratch", progress=stop)
    first = {p.name: p.stat().st_ino for p in (tmp_path / "into").iterdir()}
    assert 0 < len(first) < 9
    unpack(archive, tmp_path / "into", tmp_path / "scratch")
    now = {p.name: p.stat().st_ino for p in (tmp_path / "into").iterdir()}
    assert len(now) == 9
    assert {name: now[name] for name in first} == first


@pytest.mark.parametrize("name", FORMATS)
def test_progress_ends_at_the_whole(tmp_path, name):
    seen: list[tuple[int, int]] = []
    archive = packed(tmp_path / name)
    unpack(archive, tmp_path / "into", tmp_path / "s", progress=lambda d, t: seen.append((d, t)))
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1] > 0


def test_a_folder_is_copied_without_links_and_its_archives_open(tmp_path):
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    (folder / "a").write_bytes(b"1")
    (folder / ".DS_Store").write_bytes(b"1")
    packed(folder / "deep" / "in.zip", {"b": b"2", "c": b"3"})
    (folder / "not").write_bytes(b"5")
    unlimited = Limits()
    copy_folder(folder, tmp_path / "into", tmp_path / "s", {folder / "not"}, unlimited, lambda d, t: None)
    assert tree(tmp_path / "into") == {"a": b"1", "deep/in/b": b"2", "deep/in/c": b"3"}
    (folder / "link").symlink_to("/etc")
    with pytest.raises(MienError, match="link is a link or a device"):
        copy_folder(folder, tmp_path / "2", tmp_path / "s", set(), unlimited, lambda d, t: None)


BOMBS = """
import sys
from pathlib import Path
from mien.config import MienError
from mien.corpora.archives import unpack
for name in sys.argv[2:]:
    try:
        unpack(Path(name), Path(sys.argv[1], "into"), Path(sys.argv[1], "scratch"))
    except MienError as error:
        print(Path(name).name, error, sep="|")
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print("peak", int(status["VmHWM"].split()[0]) >> 10, sep="|")
"""


def test_bombs_cost_neither_memory_nor_disk(tmp_path):
    ten = 10 * 1024
    size = ten << 20
    end = bytes(1024)
    bombs = {
        hostile.zip_of_zeros(tmp_path / "honest.zip", ten, size): "would become more than",
        hostile.zip_of_zeros(tmp_path / "lying.zip", ten, 1 << 20): "cut off or damaged",
        hostile.zip_of_entries(tmp_path / "entries.zip", 200_000): "more than 150,000 files",
        hostile.zip_of_entries(
            tmp_path / "directory.zip", 900_000
        ): "a directory for more than 150,000 files",
        hostile.gz_with(tmp_path / "file.tar.gz", hostile.header("x", size), ten): "would become more than",
        hostile.gz_with(
            tmp_path / "pax.tar.gz", hostile.header("x", size, tarfile.XHDTYPE), ten
        ): "headers that no",
        hostile.gz_with(tmp_path / "name.tar.gz", hostile.header("x", size, b"L"), ten): "headers that no",
        hostile.gz_with(tmp_path / "after.tar.gz", hostile.header("x") + end, ten): "headers that no",
        hostile.gz(tmp_path / "names.tar.gz", hostile.header("x", 0, b"L") * 5000 + end): "headers that no",
    }
    inner = (tmp_path / "honest.zip").read_bytes()
    bombs[packed(tmp_path / "nested.tar", {"honest.zip": inner})] = "would become more than"
    assert all(bomb.stat().st_size < 64 << 20 for bomb in bombs)
    words = [sys.executable, "-c", BOMBS, str(tmp_path / "room"), *map(str, bombs)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
    *said, (_, peak) = (line.split("|") for line in done.stdout.splitlines())
    assert [name for name, _ in said] == [bomb.name for bomb in bombs]
    for (name, sentence), words in zip(said, bombs.values(), strict=True):
        assert words in sentence, name
    assert int(peak) < 200  # MiB
    written = sum(p.stat().st_size for p in (tmp_path / "room").rglob("*") if p.is_file())
    assert written <= len(inner) + (
        2 << 20
    )  # the archive within an archive, and what a liar could have hidden
