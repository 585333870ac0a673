"""What one upload and one client may ask for, decided before anything is decoded or queued."""

import io
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from PIL import Image, UnidentifiedImageError

from mien.manifest.pictures import MIN_SIDE_PX

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
"""What is looked at at all: some of Pillow's other readers start programs or read other files."""
CLIENTS_KNOWN = 10_000  # whose buckets are remembered; the one not seen for longest goes first


@dataclass(eq=False)
class Refused(Exception):  # noqa: N818 - an answer, not a fault of the program
    """A request that gets a status instead of an answer, and one sentence why."""

    status: int
    why: str
    retry_s: float | None = None  # when it may be tried again


class Buckets:
    """A token bucket a client: `burst` at once, `per_s` in the long run."""

    def __init__(self, per_s: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s, self._burst, self._clock = per_s, burst, clock
        self._clients: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens left, and when

    def take(self, client: str) -> None:
        """Take a token. Refused 429: there is none, and when there will be one."""
        now = self._clock()
        left, at = self._clients.pop(client, (float(self._burst), now))
        left = min(float(self._burst), left + (now - at) * self._per_s)
        self._clients[client] = (max(left - 1, 0.0) if left >= 1 else left, now)
        while len(self._clients) > CLIENTS_KNOWN:
            self._clients.popitem(last=False)
        if left < 1:
            raise Refused(429, f"more than {self._per_s:g} requests a second", (1 - left) / self._per_s)


class Room:
    """How many pictures, and bytes of them, wait or are worked on; there is no queue beyond it."""

    def __init__(self, pictures: int, size: float) -> None:
        self._pictures, self._size = pictures, size
        self.taken, self._bytes = 0, 0

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Have room for one picture of so many bytes within the block. Refused 503: all is taken."""
        if self.taken >= self._pictures or self._bytes + size > self._size:
            raise Refused(503, f"busy: {self.taken} pictures are waiting", 1.0)
        self.taken, self._bytes = self.taken + 1, self._bytes + size
        try:
            yield
        finally:
            self.taken, self._bytes = self.taken - 1, self._bytes - size


def client_of(address: str) -> str:
    """Who is behind an address: of IPv6 the network of 64 bits, which one client has to itself."""
    try:
        ip = ip_address(address)
    except ValueError:
        return address
    return str(IPv6Address(int(ip) >> 64 << 64)) if isinstance(ip, IPv6Address) else str(ip)


def look_at(data: bytes, max_pixels: float) -> None:
    """Read a picture's header. Refused 415: none that is taken; 413: too many pixels; 422: too few."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                width, height = image.size
    except UnidentifiedImageError as error:
        raise Refused(415, f"not a picture that is taken ({', '.join(FORMATS)})") from error
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError, TypeError, IndexError) as error:
        raise Refused(422, "damaged: the picture's header cannot be read") from error
    if width * height > max_pixels:
        raise Refused(413, f"{width}x{height} pixels are more than {max_pixels / 1e6:g} megapixels")
    if min(width, height) < MIN_SIDE_PX:
        raise Refused(422, f"{width}x{height} pixels are too few")
