import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.manifest.pictures import MAX_BYTES, Reject, decode, read_bytes


def scene(width: int = 48, height: int = 32) -> np.ndarray:
    """A picture whose corners tell how it lies: red, green, blue, white from the top left, clockwise."""
    picture = np.zeros((height, width, 3), np.uint8)
    half_h, half_w = height // 2, width // 2
    picture[:half_h, :half_w] = 255, 0, 0
    picture[:half_h, half_w:] = 0, 255, 0
    picture[half_h:, half_w:] = 0, 0, 255
    picture[half_h:, :half_w] = 255, 255, 255
    return picture


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def off(picture: np.ndarray, truth: np.ndarray) -> int:
    assert picture.dtype == np.uint8
    assert picture.shape == truth.shape
    return int(np.abs(picture.astype(int) - truth).max())


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_formats_give_the_very_pixels(kind):
    assert off(decode(saved(Image.fromarray(scene()), kind)), scene()) == 0


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_lossy_formats_are_near(kind):
    flat = np.full((32, 48, 3), (180, 90, 40), np.uint8)
    assert off(decode(saved(Image.fromarray(flat), kind, quality=95)), flat) <= 4


def test_palette():
    assert off(decode(saved(Image.fromarray(scene()).quantize(4), "PNG")), scene()) == 0


def test_palette_with_a_transparent_colour_lies_over_white():
    palette = Image.fromarray(scene()).quantize(4)
    red = int(np.asarray(palette)[0, 0])
    truth = scene()
    truth[:16, :24] = 255
    assert off(decode(saved(palette, "PNG", transparency=red)), truth) == 0


def test_one_bit():
    bits = Image.fromarray(scene()[..., 1]).convert("1")
    truth = np.repeat(np.asarray(bits.convert("L"))[..., None], 3, axis=2)
    assert off(decode(saved(bits, "PNG")), truth) == 0


def test_grey_and_grey_with_alpha():
    grey = np.tile(np.arange(48, dtype=np.uint8) * 5, (32, 1))
    truth = np.repeat(grey[..., None], 3, axis=2)
    assert off(decode(saved(Image.fromarray(grey), "PNG")), truth) == 0
    clear = Image.merge("LA", [Image.fromarray(grey), Image.new("L", (48, 32), 0)])
    assert off(decode(saved(clear, "PNG")), np.full_like(truth, 255)) == 0


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_keeps_its_upper_byte(kind):
    deep = np.tile(np.linspace(0, 65535, 48).astype(np.uint16), (32, 1))
    picture = decode(saved(Image.fromarray(deep), kind))
    assert off(picture, np.repeat(np.rint(deep / 257).astype(np.uint8)[..., None], 3, axis=2)) <= 1


def test_dark_sixteen_bit_grey_stays_dark():
    deep = np.full((32, 48), 200, np.uint16)  # of 65535: nearly black
    assert decode(saved(Image.fromarray(deep), "PNG")).max() <= 1


def test_transparent_colour_lies_over_white():
    picture = np.dstack([scene(), np.full((32, 48), 255, np.uint8)])
    picture[:, :24, 3] = 0
    truth = scene()
    truth[:, :24] = 255
    assert off(decode(saved(Image.fromarray(picture), "PNG")), truth) == 0


def test_half_transparent_colour_is_mixed_with_white():
    picture = np.zeros((32, 48, 4), np.uint8)
    picture[..., 3] = 51  # a fifth of black
    assert off(decode(saved(Image.fromarray(picture), "PNG")), np.full((32, 48, 3), 204, np.uint8)) <= 1


def test_cmyk_is_converted():
    flat = Image.new("CMYK", (48, 32), (0, 255, 255, 0))  # magenta and yellow ink: red
    picture = decode(saved(flat, "JPEG", quality=95))
    assert off(picture, np.full((32, 48, 3), (255, 0, 0), np.uint8)) <= 12


@pytest.mark.parametrize(
    ("orientation", "undo"),
    [
        (1, lambda p: p),
        (2, lambda p: p[:, ::-1]),
        (3, lambda p: p[::-1, ::-1]),
        (4, lambda p: p[::-1]),
        (5, lambda p: p.transpose(1, 0, 2)),
        (6, lambda p: np.rot90(p, 1)),
        (7, lambda p: p[::-1, ::-1].transpose(1, 0, 2)),
        (8, lambda p: np.rot90(p, -1)),
    ],
)
def test_exif_orientation_is_undone(orientation, undo):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(undo(scene()))  # what a camera so held would have written
    assert off(decode(saved(Image.fromarray(stored), "PNG", exif=exif.tobytes())), scene()) == 0


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_is_read(kind):
    first, second = Image.fromarray(scene()), Image.new("RGB", (48, 32), "black")
    options = {"lossless": True} if kind == "WEBP" else {}
    data = saved(first, kind, save_all=True, append_images=[second], **options)
    assert off(decode(data), scene()) == 0


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_truncated_is_rejected(kind, share):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = saved(noise, kind)
    with pytest.raises(Reject, match=r"truncated|not a picture"):
        decode(data[: int(len(data) * share)])


@pytest.mark.parametrize(
    "data", [b"not a picture at all", b"\x00" * 4096, b"<html></html>", b"\xff\xd8\xff\xe0JFIF"]
)
def test_other_bytes_are_rejected(data):
    with pytest.raises(Reject, match=r"not a picture|damaged"):
        decode(data)


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(b"\x00" * 100_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def test_a_bomb_is_rejected_by_its_header():
    data = png_header(60_000, 60_000)
    assert len(data) < 1000
    with pytest.raises(Reject, match="too large: 60000x60000"):
        decode(data)


@pytest.mark.parametrize("size", [(0, 0), (1, 1), (7, 100), (100, 7)])
def test_tiny_is_rejected(size):
    data = png_header(*size) if 0 in size else saved(Image.new("RGB", size), "PNG")
    with pytest.raises(Reject, match=r"too small|truncated|not a picture"):
        decode(data)


def test_a_png_text_bomb_is_rejected_or_read():
    """A small file whose compressed text chunk would unpack to a gigabyte is never unpacked whole."""
    text = zlib.compress(b"a" * (80 << 20))
    body = b"Comment\x00\x00" + text
    chunk = struct.pack(">I", len(body)) + b"zTXt" + body + struct.pack(">I", zlib.crc32(b"zTXt" + body))
    whole = saved(Image.fromarray(scene()), "PNG")
    with pytest.raises(Reject):
        decode(whole[:33] + chunk + whole[33:])


def test_bytes_of_a_part_of_a_file(tmp_path):
    (tmp_path / "all.tar").write_bytes(b"0123456789")
    assert read_bytes(tmp_path, "all.tar", 3, 4) == b"3456"
    assert read_bytes(tmp_path, "all.tar") == b"0123456789"


@pytest.mark.parametrize("name", ["missing.jpg", "folder.jpg", "locked.jpg"])
def test_unreadable_is_rejected(tmp_path, name):
    (tmp_path / "folder.jpg").mkdir()
    locked = tmp_path / "locked.jpg"
    locked.write_bytes(b"x")
    locked.chmod(0)
    if name == "locked.jpg" and os.access(locked, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(Reject, match="unreadable"):
        read_bytes(tmp_path, name)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(Reject, match="unreadable"):
        read_bytes(tmp_path, "pipe.jpg")


def test_empty_and_huge_files_are_rejected(tmp_path):
    (tmp_path / "empty.jpg").touch()
    with (tmp_path / "huge.jpg").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(Reject, match="empty"):
        read_bytes(tmp_path, "empty.jpg")
    with pytest.raises(Reject, match="larger than"):
        read_bytes(tmp_path, "huge.jpg")


def test_a_part_that_the_file_does_not_hold_is_rejected(tmp_path):
    (tmp_path / "cut.tar").write_bytes(b"0123456789")
    with pytest.raises(Reject, match="truncated"):
        read_bytes(tmp_path, "cut.tar", 8, 4)


@pytest.mark.parametrize("seed", range(40))
def test_damaged_bytes_never_crash(seed):
    rng = np.random.default_rng(seed)
    kind = ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"][seed % 6]
    data = bytearray(saved(Image.fromarray(scene()), kind))
    for at in rng.integers(0, len(data), 8):
        data[at] = rng.integers(256)
    try:
        picture = decode(bytes(data))
    except Reject:
        return
    assert picture.ndim == 3
    assert picture.dtype == np.uint8


def test_reading_leaves_no_file_open(tmp_path):
    path = Path(tmp_path / "a.png")
    path.write_bytes(saved(Image.fromarray(scene()), "PNG"))
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        decode(read_bytes(tmp_path, "a.png"))
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
