"""A tar as a stream of bytes: from a folder, or over the network by WebDataset's opener."""

import os
from pathlib import Path
from typing import IO, cast
from urllib.parse import urlsplit

from mien.config import MienError

SCHEMES = ("http", "https", "gs")
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
    """One tar read forwards. `at` is how many bytes lie behind."""

    def __init__(self, address: str, name: str) -> None:
        self.name, self.at = f"{address}/{name}", 0
        self._local = not urlsplit(address).scheme
        try:
            self._file = self._open()
            self._length = os.fstat(self._file.fileno()).st_size if self._local else 0
        except OSError as error:
            raise MienError(f"{self.name} cannot be opened: {error}.") from error

    def take(self, begin: int, size: int) -> bytes:
        """`size` bytes from `begin` on, which lies ahead; fewer where the stream ends."""
        try:
            if self._local:
                self.at = self._file.seek(min(begin, self._length))
            while self.at < begin:
                skipped = len(self._file.read(min(begin - self.at, _BUFFER_BYTES)))
                self.at += skipped
                if not skipped:
                    return b""
            data = self._file.read(size)
        except OSError as error:
            raise MienError(f"{self.name} cannot be read after {self.at} bytes: {error}.") from error
        self.at += len(data)
        return data

    def close(self) -> None:
        """Let go of the file or connection."""
        self._file.close()

    def _open(self) -> IO[bytes]:
        if self._local:
            return Path(self.name).open("rb", buffering=_BUFFER_BYTES)
        from webdataset.gopen import gopen  # takes seconds to import, and only remote shards need it

        return cast(IO[bytes], gopen(self.name, bufsize=_BUFFER_BYTES))
