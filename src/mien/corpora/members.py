"""What comes out of an archive: how much of it is taken, under which names, and how it reaches the disk."""

import errno
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from mien.config.errors import MienError

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".7z", ".7z.001")
FIRST = ".7z.001"  # of the volumes of an archive
JUNK_FOLDERS, JUNK_FILES = {"__MACOSX"}, {".DS_Store", "Thumbs.db", "desktop.ini"}
CHUNK = 1 << 20
SLACK = 16 << 20  # bytes that any archive may expand to, whatever its ratio
DIRECTORY = 256  # bytes of a directory for each file that is allowed: it is held in memory
LONGEST_PART, LONGEST_NAME, DEEPEST = 255, 1000, 32  # bytes, bytes, folders
Progress = Callable[[int, int], None]


class Source(Protocol):
    """What a file is read from; nothing at its end."""

    def read(self, size: int, /) -> bytes:
        """Up to that many bytes."""


@dataclass(frozen=True)
class Limits:
    """What one archive may become: folders count as files, ratio is unpacked to packed bytes."""

    files: int = 150_000
    unpacked_bytes: int = 64 << 30
    ratio: int = 100


@dataclass
class Unpacking:
    """One archive, or one folder, on its way: `scratch` is a folder beside what is made, on the same disk."""

    origin: Path
    packed_bytes: int
    scratch: Path
    limits: Limits
    progress: Progress
    files: int = 0
    unpacked_bytes: int = 0
    inner: list[Path] = field(default_factory=list)  # archives that came out

    def count(self, size: int) -> None:
        """Take one more file of that many bytes. MienError: over a limit."""
        self.files += 1
        self.unpacked_bytes += size
        most = min(self.limits.unpacked_bytes, self.packed_bytes * self.limits.ratio + SLACK)
        if self.files > self.limits.files:
            raise refused(self.origin, f"holds more than {self.limits.files:,} files")
        if self.unpacked_bytes > most:
            raise refused(self.origin, f"would become more than {most >> 20:,} MiB")

    def put(self, source: Source, target: Path, size: int) -> None:
        """Write a file whole or not at all. One that is there already, from an earlier try, is kept."""
        if target.name.lower().endswith(ENDINGS):
            self.inner.append(target)
        if target.is_file() and target.stat().st_size == size:
            return
        spare = self.scratch / "part"
        written = 0
        with spare.open("wb") as file:
            while chunk := source.read(CHUNK):
                file.write(chunk)
                written += len(chunk)
        if written != size:
            raise refused(self.origin, f"ends within {said(target.name)}: it is cut off or damaged")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            spare.replace(target)
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            raise refused(self.origin, f"names {said(target.name)} as a file and as a folder") from None


def volumes(archive: Path) -> list[Path]:
    """The files that an archive consists of: itself, or from `X.7z.001` on all that lie beside it."""
    if not archive.name.lower().endswith(FIRST):
        return [archive]
    found = [archive]
    while (after := archive.with_suffix(f".{len(found) + 1:03d}")).is_file():
        found.append(after)
    return found


def want_room(into: Path, size: int) -> None:
    """OSError if the disk has not that many bytes left."""
    if shutil.disk_usage(into).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(into))


def refused(origin: Path, why: str) -> MienError:
    """Why an archive is not taken, to be raised."""
    return MienError(f"{origin} is refused: it {why}; fetch it again from its owner, or unpack it yourself.")


def said(name: str) -> str:
    """A name that an archive chose, safe to print."""
    return ascii(name if len(name) < 80 else f"{name[:77]}...")


@contextmanager
def room(place: Path) -> Iterator[None]:
    """Turn a full disk, or one that cannot be written, into one sentence (MienError)."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise MienError(
                f"The disk of {place} is full, nothing was changed; make room and give the command again."
            ) from error
        raise MienError(
            f"{error.filename or place} cannot be read or written ({error.strerror}); nothing was changed."
        ) from error


def plain_files(folder: Path) -> list[Path]:
    """All files below a folder, sorted, without what desktops leave behind. MienError: a link or a device."""
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in JUNK_FOLDERS]
        for name in [*files, *folders]:
            path = Path(place, name)
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode) and name not in JUNK_FILES:
                found.append(path)
            elif not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                raise MienError(f"{path} is a link or a device; put the file itself in its place.")
    return sorted(found)


def merge(source: Path, into: Path) -> None:
    """Move what a folder holds into another; equal files become one. MienError: two files under one name."""
    into.mkdir(parents=True, exist_ok=True)
    for entry in sorted(source.iterdir()):
        target = into / entry.name
        if not target.exists():
            entry.rename(target)
        elif entry.is_dir() and target.is_dir():
            merge(entry, target)
        elif entry.is_file() and target.is_file() and _equal(entry, target):
            entry.unlink()
        else:
            raise MienError(
                f"Two archives hold different files {said(entry.name)}; give one of them at a time."
            )
    source.rmdir()


def safe_parts(origin: Path, name: str) -> tuple[str, ...] | None:
    """The parts of a member's name, none for the top folder or what desktops leave behind.

    MienError: the name leads elsewhere, or no file could have it.
    """
    parts = tuple(part for part in name.replace("\\", "/").split("/") if part not in ("", "."))
    if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name):
        raise refused(origin, f"names {said(name)}, an absolute path")
    if ".." in parts:
        raise refused(origin, f"names {said(name)}, a path that leads out of its folder")
    try:
        lengths = [len(os.fsencode(part)) for part in parts]
    except UnicodeEncodeError:
        lengths = [LONGEST_PART + 1]
    if max(lengths, default=0) > LONGEST_PART or sum(lengths) > LONGEST_NAME or len(parts) > DEEPEST:
        raise refused(origin, f"names {said(name)}, too long for a file")
    if re.search(r"[\x00-\x1f\x7f]", name):
        raise refused(origin, f"names {said(name)}, which no file should be called")
    return None if not parts or parts[-1] in JUNK_FILES or JUNK_FOLDERS & set(parts) else parts


def _equal(one: Path, other: Path) -> bool:
    if one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb") as a, other.open("rb") as b:
        while chunk := a.read(CHUNK):
            if chunk != b.read(CHUNK):
                return False
    return True
