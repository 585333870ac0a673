"""7z archives, alone or in volumes, read forwards with Python's own LZMA decoder.

py7zr is not used because it keeps what it has read of a packed stream (its issue 626): 100 MB of memory for
an archive of 100 MB, and corpora have gigabytes.
"""

import io
import lzma
import stat
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from mien.corpora.members import (
    CHUNK,
    DIRECTORY,
    Source,
    Unpacking,
    refused,
    safe_parts,
    said,
    volumes,
    want_room,
)
from mien.corpora.seven_zip_directory import LZMA, STORED, Entry, Stream, parse

MAGIC = b"7z\xbc\xaf\x27\x1c"
DICTIONARY = 256 << 20  # bytes that a decoder may keep of what it has unpacked
_HEAD = struct.Struct("<6s2BLQQL")  # magic, version, CRC of the rest, place, size and CRC of the directory
_REPARSE, _UNIX = 0x400, 0x8000  # attributes: what Windows has for links; the upper half is a mode


def unpack_seven_zip(archive: Path, into: Path, job: Unpacking) -> None:
    """Unpack below `into` under the job's limits. Raises as `archives.unpack`, and what damage raises."""
    with _Volumes(volumes(archive)) as file:
        streams, entries = _directory(file, job)
        members = [(entry, _parts(job, entry)) for entry in entries]
        for entry in entries:
            job.count(entry.size)
        files = [(entry, parts) for entry, parts in members if parts and entry.is_file]
        if len({parts for _, parts in files}) < len(files):
            raise refused(job.origin, "names a file twice")
        want_room(into, sum(entry.size for entry, parts in files if not into.joinpath(*parts).is_file()))
        total = sum(stream.packed for stream in streams)
        sources = _contents(file, streams, job, lambda done: job.progress(done, total))
        for entry, parts in members:
            source = next(sources) if entry.in_stream else _Member(io.BytesIO(), 0, None)
            if parts and entry.is_file:
                job.put(source, into.joinpath(*parts), entry.size)
            source.skip()  # of a file that is there already, from an earlier try
        job.progress(total, total)


def _parts(job: Unpacking, entry: Entry) -> tuple[str, ...] | None:
    """The parts of a member's name. MienError: the name, or something that is not a plain file."""
    parts = safe_parts(job.origin, entry.name)
    kind = stat.S_IFMT(entry.attributes >> 16) if entry.attributes & _UNIX else 0
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or entry.attributes & _REPARSE:
        raise refused(job.origin, f"holds {said(entry.name)}, a link or a device")
    return parts


def _directory(file: "_Volumes", job: Unpacking) -> tuple[list[Stream], list[Entry]]:
    """What an archive holds. MienError: more files than are allowed, or what `parse` refuses."""
    head = file.exactly(_HEAD.size)
    _, _, _, crc, at, size, directory_crc = _HEAD.unpack(head)
    if zlib.crc32(head[12:]) != crc:
        raise ValueError("its head is wrong")
    if not size:
        return [], []
    if at + size > file.size - _HEAD.size:
        raise EOFError("it ends before its directory; is a volume missing?")
    _want_small(size, job)
    file.seek(_HEAD.size + at)
    data = file.exactly(size)
    if zlib.crc32(data) != directory_crc:
        raise ValueError("its directory is damaged")
    streams, entries = parse(data, job)
    if entries is None:  # the directory itself is packed
        _want_small(streams[0].size, job)
        member = next(_contents(file, streams, job, lambda done: None))
        streams, entries = parse(b"".join(iter(lambda: member.read(CHUNK), b"")), job)
    if entries is None:
        raise ValueError("its directory is packed twice")
    return streams, entries


def _want_small(size: int, job: Unpacking) -> None:
    most = job.limits.files
    if size > max(CHUNK, most * DIRECTORY):
        raise refused(job.origin, f"has a directory for more than {most:,} files")


def _contents(
    file: "_Volumes", streams: list[Stream], job: Unpacking, told: Callable[[int], None]
) -> Iterator["_Member"]:
    """What each file of the streams holds, to be read to its end before the next one is asked for."""
    done = 0
    for stream in streams:
        file.seek(_HEAD.size + stream.at)
        source = _Decoded(file, stream, job)
        for size, crc in stream.files:
            yield _Member(source, size, crc)
            told(done + stream.packed - source.left)
        done += stream.packed


class _Decoded:
    """A packed stream, unpacked as it is read; `left`: packed bytes not read yet."""

    def __init__(self, file: "_Volumes", stream: Stream, job: Unpacking) -> None:
        self._file, self.left = file, stream.packed
        self._decoder = None if stream.codec == STORED else _decoder(stream, job)

    def read(self, size: int, /) -> bytes:
        """Up to that many bytes. EOFError: nothing is left."""
        while True:
            asks = self._decoder is None or self._decoder.needs_input
            data = (
                self._file.exactly(min(size if self._decoder is None else 1 << 16, self.left))
                if asks
                else b""
            )
            self.left -= len(data)
            found = data if self._decoder is None else self._decoder.decompress(data, size)
            if found or not size:
                return found
            if asks and not data:
                raise EOFError("a packed stream ends too early")


def _decoder(stream: Stream, job: Unpacking) -> lzma.LZMADecompressor:
    """MienError: it would take too much memory. ValueError: its settings are wrong."""
    settings = stream.settings
    if stream.codec == LZMA:
        packed, dictionary = struct.unpack("<BL", settings)
        bits = {"lc": packed % 9, "lp": packed // 9 % 5, "pb": packed // 45}
        known = {"id": lzma.FILTER_LZMA1, "dict_size": max(dictionary, 4096), **bits}
    else:
        (code,) = struct.unpack("<B", settings)
        dictionary = min((2 | code & 1) << (code // 2 + 11), (1 << 32) - 1) if code <= 40 else 1 << 32
        known = {"id": lzma.FILTER_LZMA2, "dict_size": dictionary}
    if dictionary > DICTIONARY:
        raise refused(job.origin, f"wants {dictionary >> 20:,} MiB of memory to be unpacked")
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[known])


class _Member(io.RawIOBase):
    """One file of a stream. ValueError at its end: it is not what the directory says."""

    def __init__(self, source: Source, size: int, crc: int | None) -> None:
        super().__init__()
        self._source, self._left, self._crc, self._now = source, size, crc, 0

    def read(self, size: int = -1, /) -> bytes:
        """Up to that many bytes; none at its end."""
        data = self._source.read(min(size, self._left)) if self._left else b""
        self._left -= len(data)
        self._now = zlib.crc32(data, self._now)
        if not self._left and self._crc not in (None, self._now):
            raise ValueError("a file in it is damaged")
        return data

    def skip(self) -> None:
        """Read to its end."""
        while self.read(CHUNK):
            pass


class _Volumes(io.RawIOBase):
    """Files read as one."""

    def __init__(self, paths: list[Path]) -> None:
        super().__init__()
        self._files = [path.open("rb") for path in paths]
        self._sizes = [path.stat().st_size for path in paths]
        self.size, self._at = sum(self._sizes), 0

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to a byte from the start."""
        assert whence == 0
        self._at = offset
        return offset

    def exactly(self, size: int) -> bytes:
        """That many bytes. EOFError: there are fewer."""
        found = bytearray()
        begin = 0
        for file, length in zip(self._files, self._sizes, strict=True):
            if begin <= self._at < begin + length and len(found) < size:
                file.seek(self._at - begin)
                data = file.read(size - len(found))
                found += data
                self._at += len(data)
            begin += length
        if len(found) < size:
            raise EOFError("it ends too early; is a volume missing?")
        return bytes(found)

    def close(self) -> None:
        """Close all."""
        for file in self._files:
            file.close()
        super().close()
