"""A tar as a stream of bytes: from a folder, an object store, or over the network by WebDataset's opener."""

import contextlib
import io
import os
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from mien.config import MienError
from mien.shards.object_store import Ranges

SCHEMES = ("http", "https", "gs", "s3")
"""Never `pipe:`, which runs the command that the address holds; WDS_SECURE refuses it as well."""

_BUFFER_BYTES = 1 << 20


def check_address(address: str) -> None:
    """MienError unless shards may be read from there."""
    scheme = urlsplit(address).scheme
    if scheme and scheme not in SCHEMES:
        raise MienError(
            f"shards at {address} cannot be read; give a folder or a URL with {', '.join(SCHEMES)}."
        )


class Stream:
    """One tar read forwards. `at`: bytes that lie behind; `length`: of the whole, None if not told."""

    def __init__(self, address: str, name: str) -> None:
        self.name, self.at = f"{address}/{name}", 0
        self._file: IO[bytes]
        self.length: int | None = None
        try:
            scheme = urlsplit(address).scheme
            if scheme == "s3":
                ranges = Ranges(self.name)
                self._file, self.length = io.BufferedReader(ranges, _BUFFER_BYTES), ranges.length
            elif scheme:
                from webdataset.gopen import gopen  # slow to import, and only remote shards need it

                self._file = gopen(self.name, bufsize=_BUFFER_BYTES)
            else:
                self._file = Path(self.name).open("rb", buffering=_BUFFER_BYTES)  # noqa: SIM115 - see close
                self.length = os.fstat(self._file.fileno()).st_size
        except OSError as error:
            raise MienError(f"{self.name} cannot be opened: {error.strerror or error}.") from error

    def take(self, begin: int, size: int) -> bytes:
        """`size` bytes from `begin` on, which lies ahead; fewer where the stream ends or breaks off."""
        if self.length is not None:
            self.at = self._file.seek(min(begin, self.length))
        while self.at < begin:
            if not self._read(min(begin - self.at, _BUFFER_BYTES)):
                return b""
        return self._read(size)

    def close(self) -> None:
        """Let go of the file or connection."""
        with contextlib.suppress(OSError):  # the downloader's complaint; what lacked was noticed in reading
            self._file.close()

    def _read(self, size: int) -> bytes:
        try:
            data = self._file.read(size)
        except OSError as error:
            if self.length is not None:
                raise MienError(f"{self.name} cannot be read: {error.strerror}.") from error
            data = b""  # the downloader failed
        if self.at == 0 and not data:
            raise MienError(f"{self.name} gives no bytes; is it there, and may it be read?")
        self.at += len(data)
        return data
