"""7z archives written by hand, good ones and such as somebody made to do harm."""

import lzma
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

DICTIONARY = 1 << 20
FOLDER, FILE = 0x10, 0x8000 | 0o100644 << 16  # attributes
_LZMA2 = {"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": DICTIONARY}


def number(value: int) -> bytes:
    """As 7z writes numbers, always in the longest form."""
    return b"\xff" + struct.pack("<Q", value)


def bits(values: list[bool]) -> bytes:
    text = "".join("01"[value] for value in values)
    return bytes(int(text[at : at + 8].ljust(8, "0"), 2) for at in range(0, len(text), 8))


def lzma2(data: bytes) -> bytes:
    return lzma.compress(data, lzma.FORMAT_RAW, filters=[_LZMA2])


def unpressed(data: bytes) -> bytes:
    """An LZMA2 stream that packs nothing."""
    told = b"\x01"  # the first chunk begins anew
    made = bytearray()
    for at in range(0, len(data), 1 << 16):
        chunk = data[at : at + (1 << 16)]
        made += told + struct.pack(">H", len(chunk) - 1) + chunk
        told = b"\x02"
    return bytes(made) + b"\0"


def zeros(mib: int) -> bytes:
    """An LZMA2 stream of that many MiB of zeros, an even number; less than a thousandth of them."""
    two = lzma2(bytes(2 << 20))[:-1]  # begins anew: it may follow itself
    return two * (mib // 2) + b"\0"


def stream(packed: bytes, size: int, crc: int | None, settings: bytes, at: int = 0) -> bytes:
    """What a directory says of one packed stream; settings: its coder."""
    told = b"\x06" + number(at) + number(1) + b"\x09" + number(len(packed)) + b"\0"
    told += b"\x07\x0b" + number(1) + b"\0" + number(1) + settings + b"\x0c" + number(size)
    return told + (b"" if crc is None else b"\x0a\x01" + struct.pack("<L", crc)) + b"\0"


def coder(dictionary: int = 16, codec: bytes = b"\x21") -> bytes:
    """LZMA2 by default; the byte 16 stands for a dictionary of 1 MiB, 36 for 1 GiB."""
    return bytes([0x20 | len(codec)]) + codec + number(1) + bytes([dictionary])


def files(members: dict[str, tuple[bytes | None, int]]) -> bytes:
    """What a directory says of names: of folders (None), empty files and those in the stream."""
    empty = [not data for data, _ in members.values()]
    told = b"\x05" + number(len(members))
    if any(empty):
        plain = [data is not None for data, _ in members.values() if not data]
        for mark, values in ((b"\x0e", bits(empty)), (b"\x0f", bits(plain))):
            told += mark + number(len(values)) + values
    names = b"\0" + "".join(f"{name}\0" for name in members).encode("utf-16-le", "surrogatepass")
    known = b"\x01\0" + b"".join(struct.pack("<L", attributes) for _, attributes in members.values())
    return told + b"\x11" + number(len(names)) + names + b"\x15" + number(len(known)) + known + b"\0"


def archive(path: Path, packed: bytes, directory: bytes, lost: int = 0) -> Path:
    """The file: head, packed streams, directory. lost: bytes that the head promises and that are not there."""
    place = struct.pack("<QQL", len(packed), len(directory) + lost, zlib.crc32(directory))
    path.write_bytes(
        b"7z\xbc\xaf\x27\x1c\0\4" + struct.pack("<L", zlib.crc32(place)) + place + packed + directory
    )
    return path


def seven_zip(
    path: Path,
    members: dict[str, bytes | None],
    attributes: dict[str, int] | None = None,
    small: bool = False,
    pack: Callable[[bytes], bytes] = lzma2,
) -> Path:
    """An archive of one stream for all its files. small: its directory is packed as well."""
    known = {
        name: (data, (attributes or {}).get(name, FOLDER if data is None else FILE))
        for name, data in members.items()
    }
    held = [data for data in members.values() if data]
    packed, whole = pack(b"".join(held)), sum(map(len, held))
    parts = b"\x08\x0d" + number(len(held)) + b"\x09" + b"".join(number(len(data)) for data in held[:-1])
    parts += b"\x0a\x01" + b"".join(struct.pack("<L", zlib.crc32(data)) for data in held) + b"\0"
    streams = b"\x04" + stream(packed, whole, None, coder()) + parts + b"\0" if held else b""
    directory = b"\x01" + streams + files(known) + b"\0"
    if small:
        said, packed = lzma2(directory), packed if held else b""
        told = b"\x17" + stream(said, len(directory), zlib.crc32(directory), coder(), len(packed)) + b"\0"
        return archive(path, packed + said, told)
    return archive(path, packed if held else b"", directory)


def one_file(path: Path, packed: bytes, size: int, crc: int = 0, settings: bytes | None = None) -> Path:
    """An archive of one file that the stream may not be."""
    told = b"\x04" + stream(packed, size, crc, settings or coder()) + b"\0"
    return archive(path, packed, b"\x01" + told + files({"x": (b"1", FILE)}) + b"\0")


def volumes(whole: Path, each: int) -> Path:
    """The same in volumes of some bytes; gives the first."""
    data = whole.read_bytes()
    whole.unlink()
    for place in range(0, len(data), each):
        whole.with_name(f"{whole.name}.{place // each + 1:03d}").write_bytes(data[place : place + each])
    return whole.with_name(f"{whole.name}.001")
