"""Pictures that a corpus makes are kept in a few big tar files with fixed times and owners, never loose."""

import hashlib
import tarfile
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from mien.manifest.tables import whole

BLOCK = 512
LARGEST = 512 << 20  # bytes of a tar of pictures, about


def member(name: str, payload: bytes) -> tuple[bytes, int]:
    """A tar entry (USTAR, mode 644, root's, at the epoch) with its padding, and where in it the payload
    begins."""
    info = tarfile.TarInfo(name)
    info.size = len(payload)
    head = info.tobuf(tarfile.USTAR_FORMAT)
    return head + payload + bytes(-len(payload) % BLOCK), len(head)


def keep_pictures(
    pictures: Iterable[tuple[dict[str, Any], bytes]], into: Path, ending: str
) -> Iterator[dict[str, Any]]:
    """Write pictures to `into/pictures-NNNNN.tar`; each row with its path, offset, size and hash.

    Members are named by the row's key and the ending. A row with a reject and no bytes is passed on as it is.
    """
    waiting = iter(pictures)
    number = 0
    while (first := next(waiting, None)) is not None:
        path = f"pictures-{number:05d}.tar"
        with whole(into / path) as scratch, scratch.open("wb") as file:
            rows = list(_fill(chain([first], waiting), file, path, ending))
            file.write(bytes(2 * BLOCK))
        yield from rows
        number += 1


def _fill(
    pictures: Iterable[tuple[dict[str, Any], bytes]], file: BinaryIO, path: str, ending: str
) -> Iterator[dict[str, Any]]:
    for row, data in pictures:
        if not data:
            yield row
            continue
        entry, head = member(f"{row['key']}.{ending}", data)
        place = {"path": path, "offset": file.tell() + head, "size": len(data)}
        yield row | place | {"sha256": hashlib.sha256(data).hexdigest()}
        file.write(entry)
        if file.tell() >= LARGEST:
            return
