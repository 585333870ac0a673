"""Archives that somebody made to do harm, small on the disk."""

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

GIB = 1 << 30


def zeros(mib: int) -> bytes:
    """A raw deflate stream of that many MiB of zeros; about a thousandth of them."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return block + again * (mib - 1) + packer.flush(zlib.Z_FINISH)


def zip_of_zeros(path: Path, mib: int, claims: int) -> Path:
    """A zip with one member that expands to `mib` MiB and claims to expand to `claims` bytes."""
    data = zeros(mib)
    extra = struct.pack("<HHQQ", 1, 16, claims, len(data))
    fixed = (45, 0, 8, 0, 33, 0, 0xFFFFFFFF, 0xFFFFFFFF, 6, len(extra))
    local = struct.pack("<4s5H3L2H", b"PK\3\4", *fixed[:5], *fixed[5:8], *fixed[8:]) + b"zeros0" + extra
    entry = (
        struct.pack("<4s6H3L5H2L", b"PK\1\2", 45, *fixed[:5], *fixed[5:10], 0, 0, 0, 0, 0) + b"zeros0" + extra
    )
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(entry), len(local) + len(data), 0)
    path.write_bytes(local + data + entry + end)
    return path


def zip_of_entries(path: Path, count: int) -> Path:
    """A zip whose directory names `count` empty files."""
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 0, 0, 33, 0, 0, 0, 6, 0) + b"000000"
    names = (b"%06x" % k for k in range(count))
    head = struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 0, 0, 33, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0)
    directory = b"".join(head + name for name in names)
    at = len(local)
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, len(directory), at)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, at + len(directory), 1)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    path.write_bytes(local + directory + end64 + locator + end)
    return path


def gz_with(path: Path, head: bytes, mib: int) -> Path:
    """A gzip of some bytes and then that many MiB of zeros; its checksum is wrong."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    begun = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    path.write_bytes(b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + begun + zeros(mib) + bytes(8))
    return path


def header(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    """One block of a tar."""
    member = tarfile.TarInfo(name)
    member.size, member.type, member.linkname = size, kind, link
    return member.tobuf(tarfile.GNU_FORMAT)


def tar_with(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for member, data in members:
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def zip_with(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, data in members:
            zipped.writestr(name, data)
    return path


def gz(path: Path, data: bytes) -> Path:
    path.write_bytes(gzip.compress(data, mtime=0))
    return path
