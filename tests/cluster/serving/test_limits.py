import io
import struct
import zlib

import pytest
from PIL import Image

from mien.cluster.serving import limits
from mien.cluster.serving.limits import FORMATS, Buckets, Refused, Room, client_of, look_at
from tests.cluster.serving.asking import picture


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def header_only(width: int, height: int) -> bytes:
    """A PNG that says how large it is and holds next to nothing: a bomb's header."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    header = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + header + struct.pack(">I", 100) + b"IDAT"


def test_a_client_has_its_burst_and_then_its_rate() -> None:
    clock = Clock()
    buckets = Buckets(per_s=2, burst=3, clock=clock)
    for _ in range(3):
        buckets.take("a")
    with pytest.raises(Refused) as refused:
        buckets.take("a")
    assert (refused.value.status, refused.value.retry_s) == (429, 0.5)
    buckets.take("b")  # others are not touched
    clock.now = 0.25
    with pytest.raises(Refused) as refused:
        buckets.take("a")
    assert refused.value.retry_s == pytest.approx(0.25)
    clock.now = 0.5  # to ask in vain has cost nothing
    buckets.take("a")
    clock.now = 1000.0
    for _ in range(3):
        buckets.take("a")
    with pytest.raises(Refused):
        buckets.take("a")


def test_so_many_clients_are_remembered_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CLIENTS_KNOWN", 2)
    buckets = Buckets(per_s=1, burst=1, clock=Clock())
    for name in "abc":
        buckets.take(name)
    buckets.take("a")  # forgotten, and so new
    with pytest.raises(Refused):
        buckets.take("c")


def test_an_address_is_a_client_and_an_ipv6_network_is_one() -> None:
    assert client_of("192.0.2.7") == "192.0.2.7"
    assert client_of("2001:db8:1:2::1") == client_of("2001:db8:1:2:ffff::9") != client_of("2001:db8:1:3::1")
    assert client_of("unknown") == "unknown"


def test_room_is_counted_in_pictures_and_bytes() -> None:
    room = Room(pictures=2, size=100)
    with room.hold(60):
        with pytest.raises(Refused) as refused, room.hold(41):
            pass
        assert (refused.value.status, refused.value.retry_s) == (503, 1.0)
        with room.hold(40):
            assert room.taken == 2
            with pytest.raises(Refused), room.hold(0):
                pass
    with room.hold(100):
        assert room.taken == 1
    assert room.taken == 0


@pytest.mark.parametrize("form", FORMATS)
def test_pictures_of_every_form_are_let_in(form: str) -> None:
    look_at(picture(form), 64 * 48)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1", 415),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n", 415),  # Pillow would start Ghostscript
        (b"\xff\xd8\xff", 415),
        (picture("TIFF"), 415),
        (picture("JPEG")[:30], 422),
        (header_only(60_000, 60_000), 413),
        (picture(size=(65, 48)), 413),
        (picture(size=(64, 7)), 422),
    ],
)
def test_others_are_not(data: bytes, status: int) -> None:
    with pytest.raises(Refused) as refused:
        look_at(data, 64 * 48)
    assert refused.value.status == status


def test_a_header_is_read_without_the_pixels() -> None:
    """5,000 x 5,000 px that would be 75 MB, in 73 kB: refused by its header."""
    file = io.BytesIO()
    Image.new("RGB", (5000, 5000)).save(file, "PNG")
    assert file.tell() < 100_000
    with pytest.raises(Refused) as refused:
        look_at(file.getvalue(), 24e6)
    assert "5000x5000 pixels are more than 24 megapixels" in refused.value.why
