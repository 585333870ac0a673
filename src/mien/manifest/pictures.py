"""Pictures as they come, hostile ones included, into upright 8-bit RGB arrays or a reason why not."""

import io
import stat
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

MAX_BYTES = 64 << 20
MAX_PIXELS = 100_000_000
MIN_SIDE_PX = 8

Image.MAX_IMAGE_PIXELS = None  # the header is checked below, before any pixel is decoded


class Reject(Exception):  # noqa: N818 - it is not an error of the program: it becomes a row of a table
    """Why a picture takes no further part; the text goes into the table's `reject` column."""


def read_bytes(root: Path, path: str, offset: int | None = None, size: int | None = None) -> bytes:
    """Read one picture's bytes: the file `root/path`, or `size` bytes of it from `offset`.

    Reject: unreadable, not a file (a pipe would be waited for), empty, cut off, or larger than MAX_BYTES.
    """
    file_path = root / path
    try:
        if not stat.S_ISREG(file_path.stat().st_mode):
            raise Reject("unreadable: not a file")
        with file_path.open("rb") as file:
            if offset is not None:
                file.seek(offset)
            data = file.read(MAX_BYTES + 1 if size is None else size)
    except OSError as error:
        raise Reject(f"unreadable: {error.strerror}") from error
    if not data:
        raise Reject("empty file")
    if size is not None and len(data) < size:
        raise Reject(f"truncated: {len(data)} of {size} bytes")
    if len(data) > MAX_BYTES:
        raise Reject(f"larger than {MAX_BYTES >> 20} MiB")
    return data


def decode(data: bytes) -> NDArray[np.uint8]:
    """Decode a picture to (H, W, 3) uint8 RGB, upright by its EXIF orientation, first frame, over white.

    Grey, palette, CMYK, 16-bit and transparent pictures are converted. Reject: not a picture, truncated,
    too large to be decoded safely (the header is read first), or smaller than MIN_SIDE_PX.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    raise Reject(f"too large: {width}x{height} pixels")
                if min(width, height) < MIN_SIDE_PX:
                    raise Reject(f"too small: {width}x{height} pixels")
                image.load()
                return _rgb(ImageOps.exif_transpose(image))
    except UnidentifiedImageError as error:
        raise Reject("not a picture") from error
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError, TypeError, IndexError) as error:
        raise Reject(f"truncated or damaged: {error}") from error


def _rgb(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        # 16-bit grey keeps its upper byte; Pillow's own conversion would clip it to white
        deep = np.asarray(image, dtype=np.float64)
        peak = _peak(image.mode, float(deep.max(initial=0.0)))
        grey = np.clip(np.rint(deep * (255.0 / peak)), 0, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.ascontiguousarray(np.asarray(image.convert("RGB")))


def _peak(mode: str, highest: float) -> float:
    """What counts as white: known for 16 bits, else the smallest usual range that holds the highest value."""
    if mode.startswith("I;16"):
        return 65535.0
    ranges = (1.0, 255.0, 65535.0) if mode == "F" else (255.0, 65535.0)
    return next((peak for peak in ranges if highest <= peak), highest)
