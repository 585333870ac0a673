"""The directory of a 7z archive: which packed streams it has, and which files they hold.

Format: 7zFormat.txt of the 7-Zip sources. Only what pictures come in: streams that are stored, LZMA or LZMA2.
Nothing here is larger than the directory, whose size the caller has measured.
"""

import io
import struct
from dataclasses import dataclass, field

from mien.corpora.members import Unpacking, refused

STORED, LZMA, LZMA2, _AES = b"\x00", b"\x03\x01\x01", b"\x21", b"\x06\xf1\x07\x01"


class _Mark:
    """What comes next in the directory."""

    END, HEADER, STREAMS, FILES, PACKED, UNPACKED, PARTS, SIZE = 0, 1, 4, 5, 6, 7, 8, 9
    CRC, FOLDER, UNPACKED_SIZE, COUNT, NO_STREAM, EMPTY, ANTI, NAMES = 10, 11, 12, 13, 14, 15, 16, 17
    ATTRIBUTES, PACKED_HEADER = 21, 23


class _Cursor(io.BytesIO):
    """The directory. EOFError: it ends too early."""

    def take(self, size: int) -> bytes:
        if size > self.left():
            raise EOFError("its directory ends too early")
        return self.read(size)

    def left(self) -> int:
        return self.getbuffer().nbytes - self.tell()

    def byte(self) -> int:
        return self.take(1)[0]

    def number(self) -> int:
        """The leading ones of the first byte say how many bytes follow."""
        first, value = self.byte(), 0
        for k in range(8):
            if not first & (0x80 >> k):
                return value | (first & ((0x80 >> k) - 1)) << 8 * k
            value |= self.byte() << 8 * k
        return value

    def count(self) -> int:
        """A number of things that take a byte each at least."""
        if (count := self.number()) > self.left():
            raise EOFError("its directory ends too early")
        return count

    def expect(self, mark: int) -> None:
        if self.byte() != mark:
            raise ValueError("its directory is out of order")

    def bits(self, count: int) -> list[bool]:
        data = self.take((count + 7) // 8)
        return [bool(data[k // 8] & (0x80 >> k % 8)) for k in range(count)]

    def where(self, count: int) -> list[bool]:
        """Which of some things have a value."""
        return [True] * count if self.byte() else self.bits(count)

    def words(self, known: list[bool]) -> list[int | None]:
        """32 bits for each that has a value."""
        return [struct.unpack("<L", self.take(4))[0] if there else None for there in known]


@dataclass
class Stream:
    """One packed stream, which holds files one after another."""

    codec: bytes
    settings: bytes
    size: int = 0  # unpacked
    crc: int | None = None
    at: int = 0  # bytes after the head of the archive
    packed: int = 0
    files: list[tuple[int, int | None]] = field(default_factory=list)  # size and CRC


@dataclass(frozen=True)
class Entry:
    """One name, of a file or a folder. attributes: as Windows has them, a Unix mode in the upper half."""

    name: str
    attributes: int
    in_stream: bool
    is_file: bool
    size: int = 0


def parse(data: bytes, job: Unpacking) -> tuple[list[Stream], list[Entry] | None]:
    """Streams and files, or no files but the one stream that the directory itself is packed in.

    MienError: more files than are allowed, a password, or a rare way of packing. ValueError or EOFError: it
    is damaged.
    """
    cursor = _Cursor(data)
    if (mark := cursor.byte()) == _Mark.PACKED_HEADER:
        if len(streams := _streams(cursor, job)) != 1:
            raise ValueError("its directory is out of order")
        return streams, None
    if mark != _Mark.HEADER:
        raise ValueError("its directory is out of order")
    return _header(cursor, job)


def _header(cursor: _Cursor, job: Unpacking) -> tuple[list[Stream], list[Entry]]:
    streams: list[Stream] = []
    entries: list[Entry] = []
    while (mark := cursor.byte()) != _Mark.END:
        if mark == _Mark.STREAMS:
            streams = _streams(cursor, job)
        elif mark == _Mark.FILES:
            entries = _files(cursor, streams, job)
        else:
            raise ValueError("its directory is out of order")
    return streams, entries


def _streams(cursor: _Cursor, job: Unpacking) -> list[Stream]:
    at, packed, told = 0, list[int](), False
    streams: list[Stream] = []
    while (mark := cursor.byte()) != _Mark.END:
        if mark == _Mark.PACKED:
            at, packed = _packed(cursor)
        elif mark == _Mark.UNPACKED:
            streams = _unpacked(cursor, job)
        elif mark == _Mark.PARTS:
            told = True
            _inside(cursor, streams, job)
        else:
            raise ValueError("its directory is out of order")
    for stream, size in zip(streams, packed, strict=True):
        stream.at, stream.packed = at, size
        if not told:  # one file each
            stream.files = [(stream.size, stream.crc)]
        at += size
    return streams


def _packed(cursor: _Cursor) -> tuple[int, list[int]]:
    """Where packed streams begin, and their sizes."""
    at, count, sizes = cursor.number(), cursor.count(), list[int]()
    while (mark := cursor.byte()) != _Mark.END:
        if mark == _Mark.SIZE:
            sizes = [cursor.number() for _ in range(count)]
        elif mark == _Mark.CRC:
            cursor.words(cursor.where(count))
        else:
            raise ValueError("its directory is out of order")
    return at, sizes


def _unpacked(cursor: _Cursor, job: Unpacking) -> list[Stream]:
    """How streams are packed, and what they become."""
    cursor.expect(_Mark.FOLDER)
    count = cursor.count()
    cursor.expect(0)  # the rest is here, not elsewhere
    streams = [_coder(cursor, job) for _ in range(count)]
    cursor.expect(_Mark.UNPACKED_SIZE)
    for stream in streams:
        stream.size = cursor.number()
    if (mark := cursor.byte()) == _Mark.CRC:
        for stream, crc in zip(streams, cursor.words(cursor.where(count)), strict=True):
            stream.crc = crc
        mark = cursor.byte()
    if mark != _Mark.END:
        raise ValueError("its directory is out of order")
    return streams


def _coder(cursor: _Cursor, job: Unpacking) -> Stream:
    count, stream = cursor.number(), Stream(b"", b"")
    for _ in range(min(count, 4)):
        flags = cursor.byte()
        codec = cursor.take(flags & 15)
        if codec == _AES:
            raise refused(job.origin, "is locked by a password")
        if flags & 0xD0:  # several streams in or out
            break
        stream = Stream(codec, cursor.take(cursor.number()) if flags & 0x20 else b"")
    else:
        if count == 1 and stream.codec in (STORED, LZMA, LZMA2):
            return stream
    raise refused(job.origin, "is packed in a rare way (not LZMA or LZMA2 alone)")


def _inside(cursor: _Cursor, streams: list[Stream], job: Unpacking) -> None:
    """The files that a stream holds."""
    counts = [1] * len(streams)
    if (mark := cursor.byte()) == _Mark.COUNT:
        counts = [cursor.number() for _ in streams]
        mark = cursor.byte()
    if sum(counts) > job.limits.files:
        raise refused(job.origin, f"holds more than {job.limits.files:,} files")
    sizes = [[cursor.number() for _ in range(n - 1)] if mark == _Mark.SIZE else [] for n in counts]
    if mark == _Mark.SIZE:
        mark = cursor.byte()
    for stream, count, known in zip(streams, counts, sizes, strict=True):
        last = stream.size - sum(known)
        if last < 0 or len(known) != max(count - 1, 0):
            raise ValueError("its sizes do not add up")
        own = stream.crc if count == 1 else None
        stream.files = [(size, own) for size in [*known, last][:count]]
    # a stream of one file has its CRC already
    open_ = [s for s, count in zip(streams, counts, strict=True) if count != 1 or s.crc is None]
    if mark == _Mark.CRC:
        crcs = iter(cursor.words(cursor.where(sum(len(s.files) for s in open_))))
        for stream in open_:
            stream.files = [(size, next(crcs)) for size, _ in stream.files]
        mark = cursor.byte()
    if mark != _Mark.END:
        raise ValueError("its directory is out of order")


def _files(cursor: _Cursor, streams: list[Stream], job: Unpacking) -> list[Entry]:
    if (count := cursor.number()) > job.limits.files:
        raise refused(job.origin, f"holds more than {job.limits.files:,} files")
    names, attributes = list[str](), list[int | None]([None] * count)
    empty, plain = [False] * count, list[bool]()
    while (mark := cursor.byte()) != _Mark.END:
        part = _Cursor(cursor.take(cursor.number()))
        if mark == _Mark.NO_STREAM:
            empty = part.bits(count)
        elif mark == _Mark.EMPTY:
            plain = part.bits(sum(empty))
        elif mark == _Mark.NAMES:
            part.expect(0)
            names = part.take(part.left()).decode("utf-16-le").split("\0")[:-1]
        elif mark == _Mark.ATTRIBUTES:
            known = part.where(count)
            part.expect(0)
            attributes = part.words(known)
        elif mark == _Mark.ANTI:
            raise refused(job.origin, "says what to delete")
    sizes = iter([size for stream in streams for size, _ in stream.files])
    kinds = iter(plain + [False] * (sum(empty) - len(plain)))
    entries = []
    for name, known_as, none in zip(names, attributes, empty, strict=True):
        is_file, size = (next(kinds), 0) if none else (True, next(sizes, None))
        if size is None:
            raise ValueError("it names more files than it holds")
        entries.append(Entry(name, known_as or 0, not none, is_file, size))
    return entries
