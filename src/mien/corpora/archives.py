"""Archives as they come, hostile ones included, into regular files below one folder, or a sentence why not.

Only names and bytes are taken from an archive: no links, devices, owners, modes or times. What it claims is
checked before a byte is written, what it delivers is counted while it is written.
"""

import gzip
import io
import lzma
import os
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import IO, Literal

from mien.config.errors import MienError
from mien.corpora.members import (
    CHUNK,
    DIRECTORY,
    ENDINGS,
    Limits,
    Progress,
    Unpacking,
    merge,
    plain_files,
    refused,
    room,
    safe_parts,
    said,
    volumes,
    want_room,
)
from mien.corpora.seven_zip import MAGIC, unpack_seven_zip

FOREIGN = {
    b"Rar!\x1a\x07": "a rar archive",
    b"\xfd7zXZ\x00": "compressed by xz",
    b"BZh": "compressed by bzip2",
    b"\x28\xb5\x2f\xfd": "compressed by zstd",
}
HEADER = 64 << 10  # bytes that tarfile may read for one member's headers, which it keeps in memory
PADDING = 16 << 20  # bytes after a tar's end that are read to check what gzip promised
NESTED = 3  # archives within archives
DAMAGED = (
    zipfile.BadZipFile,
    lzma.LZMAError,
    struct.error,
    tarfile.TarError,
    zlib.error,
    EOFError,
    ValueError,
    OverflowError,
    RecursionError,
)


def unpack(
    archive: Path, into: Path, scratch: Path, limits: Limits | None = None, progress: Progress | None = None
) -> None:
    """Unpack a zip, tar, tar.gz or 7z (the first of its volumes), and the archives within it, below `into`.

    scratch: a folder on the same disk that belongs to this call. progress(done, total) counts bytes of the
    archive. What an earlier, broken-off call has written is not written again.
    MienError: not such an archive, damaged, hostile, over a limit, or the disk is full.
    """
    packed = sum(volume.stat().st_size for volume in volumes(archive))
    job = Unpacking(archive, packed, scratch, limits or Limits(), progress or (lambda done, total: None))
    scratch.mkdir(parents=True, exist_ok=True)
    with room(into):
        _unpack(archive, into, job)
        _unpack_inner(job)


def copy_folder(
    folder: Path, into: Path, scratch: Path, without: set[Path], limits: Limits, progress: Progress
) -> None:
    """Copy the regular files of a folder, but for some, and unpack the archives among them.

    Errors are those of `unpack`.
    """
    files = [path for path in plain_files(folder) if path not in without]
    sizes = [path.stat().st_size for path in files]
    job = Unpacking(folder, sum(sizes), scratch, limits, progress)
    scratch.mkdir(parents=True, exist_ok=True)
    with room(into):
        for path, size in zip(files, sizes, strict=True):
            job.count(size)
            with path.open("rb") as file:
                job.put(file, into / path.relative_to(folder), size)
            progress(job.unpacked_bytes, job.packed_bytes)
        _unpack_inner(job)


def _format(archive: Path) -> Literal["zip", "tar", "tar.gz", "7z"]:
    with archive.open("rb") as file:
        head = file.read(512)
    for magic, what in FOREIGN.items():
        if head.startswith(magic):
            raise MienError(
                f"{archive} is {what}, which mien does not open; unpack it yourself and give the folder."
            )
    if head.startswith(MAGIC):
        return "7z"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if head.startswith(b"\x1f\x8b"):
        return "tar.gz"
    if head[257:262] == b"ustar" or archive.name.lower().endswith(".tar"):
        return "tar"
    raise MienError(
        f"{archive} is no zip, tar, tar.gz or 7z, or not the first volume of one; give the archive as its "
        "owner ships it, or a folder."
    )


def _unpack(archive: Path, into: Path, job: Unpacking) -> None:
    into.mkdir(parents=True, exist_ok=True)
    try:
        if (form := _format(archive)) == "zip":
            _unpack_zip(archive, into, job)
        elif form == "7z":
            unpack_seven_zip(archive, into, job)
        else:
            with archive.open("rb") as file:
                _unpack_tar(file, form == "tar.gz", into, job)
    except (*DAMAGED, gzip.BadGzipFile) as error:
        raise refused(archive, f"is cut off or damaged ({error})") from error


def _unpack_inner(job: Unpacking) -> None:
    """Unpack the archives that came out, each where it lies: its one folder, or a folder of its name."""
    for depth in range(NESTED + 1):
        inner, job.inner = job.inner, []
        if inner and depth == NESTED:
            raise refused(job.origin, f"holds archives in archives, more than {NESTED} deep")
        for archive in inner:
            place = job.scratch / "inner"
            shutil.rmtree(place, ignore_errors=True)
            before = len(job.inner)
            _unpack(archive, place, job)
            tops = list(place.iterdir())
            sole = len(tops) == 1 and tops[0].is_dir()
            stem = archive.name[: -len(next(e for e in ENDINGS if archive.name.lower().endswith(e)))]
            home = archive.parent if sole else archive.parent / stem
            job.inner[before:] = [home / path.relative_to(place) for path in job.inner[before:]]
            merge(place, home)
            for volume in volumes(archive):
                volume.unlink()


class _ZipFile(io.FileIO):
    """A zip's bytes; its directory, which zipfile reads at once and keeps, is measured first."""

    def __init__(self, path: Path, job: Unpacking) -> None:
        super().__init__(path)
        self._job = job

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as asked. MienError: the directory is of more files than are allowed."""
        most = self._job.limits.files
        if size is None or size < 0:
            size = os.fstat(self.fileno()).st_size - self.tell()
        if size > max(CHUNK, most * DIRECTORY):
            raise refused(self._job.origin, f"has a directory for more than {most:,} files")
        data = super().read(size) or b""
        if size > CHUNK and data.count(b"PK\x01\x02") > most:
            raise refused(self._job.origin, f"holds more than {most:,} files")
        return data


def _unpack_zip(archive: Path, into: Path, job: Unpacking) -> None:
    with _ZipFile(archive, job) as file, zipfile.ZipFile(file) as zipped:
        members = [(info, _zip_parts(archive, info)) for info in zipped.infolist()]
        for info, _ in members:
            job.count(info.file_size)
        files = [
            (info, parts) for info, parts in members if parts and not info.orig_filename.endswith(("/", "\\"))
        ]
        if len({parts for _, parts in files}) < len(files):
            raise refused(archive, "names a file twice")
        new = [info.file_size for info, parts in files if not into.joinpath(*parts).is_file()]
        want_room(into, sum(new))
        read, total = 0, sum(info.compress_size for info, _ in files)
        for info, parts in files:
            with zipped.open(info) as source:
                job.put(source, into.joinpath(*parts), info.file_size)
            read += info.compress_size
            job.progress(read, total)


def _zip_parts(archive: Path, info: zipfile.ZipInfo) -> tuple[str, ...] | None:
    """The parts of a member's name. MienError: the name, or something that is not a plain file."""
    parts = safe_parts(archive, info.orig_filename)
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise refused(archive, f"holds {said(info.filename)}, a link or a device")
    if info.flag_bits & 1:
        raise refused(archive, "is locked by a password")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise refused(archive, f"holds {said(info.filename)} in a rare compression")
    return parts


class _Forward(io.RawIOBase):
    """What tarfile reads from: forwards only, and never more bytes than were granted."""

    def __init__(self, file: IO[bytes], origin: Path) -> None:
        super().__init__()
        self._file, self._origin, self._at = file, origin, 0
        self.granted = HEADER
        self.last = b""

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as asked. MienError: more than was granted."""
        if size is None or size < 0 or size > self.granted:
            raise refused(self._origin, "has headers that no archive needs")
        self.last = self._file.read(size)
        self.granted -= len(self.last)
        self._at += len(self.last)
        return self.last

    def tell(self) -> int:
        """Where the next byte is."""
        return self._at

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Read up to a place."""
        if whence != 0 or offset < self._at:
            raise refused(self._origin, "has members that lie over each other")
        while self._at < offset and self.read(min(CHUNK, offset - self._at)):
            pass
        return self._at


def _unpack_tar(file: IO[bytes], packed: bool, into: Path, job: Unpacking) -> None:
    whole = os.fstat(file.fileno()).st_size
    names: set[tuple[str, ...]] = set()
    with gzip.GzipFile(fileobj=file) if packed else file as plain:
        stream = _Forward(plain, job.origin)  # type: ignore[arg-type]
        with tarfile.TarFile(fileobj=stream, mode="r") as tar:
            while (member := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # tarfile keeps them all
                tar.pax_headers = {}
                job.count(member.size)
                parts = _tar_parts(job.origin, member, into)
                stream.granted = member.size + HEADER
                source = tar.extractfile(member) if parts is not None and member.isreg() else None
                if source is not None and parts is not None:
                    if parts in names:
                        raise refused(job.origin, "names a file twice")
                    names.add(parts)
                    want_room(into, member.size)
                    job.put(source, into.joinpath(*parts), member.size)
                job.progress(file.tell(), whole)
        if stream.last.strip(b"\0") or len(stream.last) < tarfile.BLOCKSIZE:
            raise refused(job.origin, "has no end: it is cut off or damaged")
        stream.granted = PADDING
        while stream.read(4096):
            pass
        job.progress(whole, whole)


def _tar_parts(archive: Path, member: tarfile.TarInfo, into: Path) -> tuple[str, ...] | None:
    """The parts of a member's name. MienError: the name, or something that is not a plain file."""
    parts = safe_parts(archive, member.name)
    if not (member.isreg() or member.isdir()) or member.issparse():
        raise refused(archive, f"holds {said(member.name)}, a link, a device or a sparse file")
    try:
        tarfile.data_filter(member, str(into))  # a second opinion
    except tarfile.FilterError as error:
        raise refused(archive, f"holds {said(member.name)}, which Python does not unpack either") from error
    return parts
