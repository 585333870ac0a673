"""A folder, or a prefix of an object store, by its address; one that is busy or away is asked again."""

import io
import os
import posixpath
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from pyarrow import ArrowException, fs

from mien.config import MienError
from mien.config.errors import FULL

PATIENCE_S = 120.0
"""How long a store may answer 503, or not at all, before the work on it stops."""
LONGEST_WAIT_S = 5.0

# as Arrow words what passes by itself; everything else is the user's to mend
_PASSING = (
    "SLOW_DOWN",
    "SERVICE_UNAVAILABLE",
    "INTERNAL_FAILURE",
    "NETWORK_CONNECTION",
    "REQUEST_TIMEOUT",
    "THROTTLING",
    "HTTP status 500",
    "HTTP status 502",
    "HTTP status 503",
    "HTTP status 504",
)
T = TypeVar("T")


def opened(address: str) -> tuple[fs.FileSystem, str]:
    """The file system of a path or `s3://bucket/prefix`, and the path in it.

    S3 by AWS's own variables: AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL for another store than Amazon's (Arrow
    does not read them, apache/arrow issue 49643), AWS_REGION, credentials. MienError: another scheme, or it
    cannot be opened.
    """
    if "://" not in address:
        return fs.LocalFileSystem(), str(Path(address).absolute())
    parts = urlsplit(address)
    if parts.scheme != "s3" or not parts.netloc:
        raise MienError(f"{address} cannot be opened; give a path or s3://bucket/prefix.")
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""
    try:
        region = region or ("us-east-1" if endpoint else fs.resolve_s3_region(parts.netloc))
        return _s3(endpoint, region), posixpath.join(parts.netloc, parts.path.strip("/")).rstrip("/")
    except (ArrowException, OSError, ValueError) as error:
        raise MienError(
            f"{address} cannot be opened ({error}); check the address and the AWS_ variables."
        ) from error


@cache
def _s3(endpoint: str, region: str) -> fs.S3FileSystem:
    where = urlsplit(endpoint)
    if not endpoint:
        return fs.S3FileSystem(region=region)
    return fs.S3FileSystem(region=region, scheme=where.scheme, endpoint_override=where.netloc)


def patiently(address: str, call: Callable[[], T]) -> T:
    """What `call` gives; asked again, for PATIENCE_S, while the place is busy or cannot be reached.

    FileNotFoundError and NotADirectoryError pass through. MienError: it stays so, it is full, or it refuses.
    """
    until = time.monotonic() + PATIENCE_S
    for wait in _waits():
        try:
            return call()
        except (FileNotFoundError, NotADirectoryError):
            raise
        except OSError as error:
            if error.errno in FULL:
                raise MienError(
                    f"{address} has no room left ({_short(error)}); make room and run again, which goes on "
                    "from what is kept."
                ) from error
            if not any(word in str(error) for word in _PASSING):
                raise MienError(
                    f"{address} cannot be used ({_short(error)}); mend that and run again."
                ) from error
            if time.monotonic() + wait > until:
                raise MienError(
                    f"{address} has not answered for {PATIENCE_S:g} s ({_short(error)}); run again when it "
                    "does, which goes on from what is kept."
                ) from error
            time.sleep(wait)
    raise AssertionError("waits never end")


def _waits() -> Iterator[float]:
    wait = 0.25
    while True:
        yield wait
        wait = min(2 * wait, LONGEST_WAIT_S)


def _short(error: OSError) -> str:
    return " ".join(str(error).split())[:200]


class Ranges(io.RawIOBase):
    """A file of an object store, read forwards in ranges, each asked again while the store is busy.

    FileNotFoundError: it is not there. MienError: as `patiently`.
    """

    def __init__(self, address: str) -> None:
        files, path = opened(address)
        self._address, self._at = address, 0
        self._file = patiently(address, lambda: files.open_input_file(path))
        self.length: int = patiently(address, self._file.size)

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to an offset from the beginning, or as `whence` says."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.length}[whence]
        return self._at

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]
        """Fill a buffer from here on; the number of bytes that there were."""
        data = patiently(self._address, lambda: self._file.read_at(len(buffer), self._at))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
