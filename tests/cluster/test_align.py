"""What leaves the stage `align` is pixels: none of what a camera or a program wrote beside them."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from mien.cluster import align
from mien.config.faces import Align
from mien.faces.detect import Detector, Faces, Picture
from mien.manifest.tables import MANIFEST

SECRET = "Jane Doe of 5 Elm Street"
JPEG_NEEDS = {0xC0, 0xC1, 0xC2, 0xC4, 0xDA, 0xDB, 0xDD, 0xE0}  # frames, tables, the scan, JFIF


class Middle(Detector):
    """Finds one face in the middle of every picture."""

    def detect(self, pictures: Sequence[Picture]) -> list[Faces]:
        found = []
        for picture in pictures:
            height, width = picture.shape[:2]
            box = np.array([[width * 0.2, height * 0.2, width * 0.8, height * 0.8]], np.float32)
            share = np.array([(0.35, 0.4), (0.65, 0.4), (0.5, 0.55), (0.4, 0.7), (0.6, 0.7)])
            five = (share * [width, height]).astype(np.float32)[None]
            found.append(Faces(box, np.array([0.99], np.float32), five))
        return found


def photograph(form: str) -> bytes:
    """A picture that says who took it where, in every way that its format has; on its left side as by EXIF."""
    pixels = np.full((96, 160, 3), 60, np.uint8)
    pixels[:, :80] = 200  # the left half, which is the upper one when the picture stands upright
    exif = Image.Exif()
    exif[0x0112], exif[0x013B], exif[0x010F] = 6, SECRET, SECRET  # orientation, artist, maker
    exif.get_ifd(0x8825).update({1: "N", 2: (51.0, 30.0, 0.0), 29: SECRET})  # GPS
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes() + SECRET.encode()
    text = PngImagePlugin.PngInfo()
    text.add_text("Author", SECRET)
    more = {
        "JPEG": {"xmp": SECRET.encode(), "comment": SECRET.encode()},
        "PNG": {"pnginfo": text},
        "WEBP": {"xmp": SECRET.encode(), "lossless": True},
        "TIFF": {},
    }[form]
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, exif=exif, icc_profile=profile, **more)
    return file.getvalue()


def segments(jpeg: bytes) -> list[int]:
    """The markers of a JPEG up to its scan."""
    assert jpeg[:2] == b"\xff\xd8"
    at, markers = 2, []
    while not markers or markers[-1] != 0xDA:
        assert jpeg[at] == 0xFF
        markers.append(jpeg[at + 1])
        at += 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
    return markers


@pytest.mark.parametrize("colour", ["rgb", "grey"])
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_crops_carry_no_metadata(tmp_path: Path, monkeypatch, form, colour):
    data = photograph(form)
    assert SECRET.encode() in data
    (tmp_path / "x").write_bytes(data)
    monkeypatch.setattr(align, "make_detector", lambda settings: Middle())
    row = {"key": "x", "path": "x", "corpus": "mine"}
    manifest = pa.Table.from_pylist([row], schema=MANIFEST).select(align.READ)
    made = align.AlignPictures(str(tmp_path), Align(colour=colour).model_dump())(manifest)
    crop = made["crop"][0].as_py()
    assert made["reject"][0].as_py() is None
    assert set(segments(crop)) <= JPEG_NEEDS
    assert all(SECRET.encode() not in value for value in (crop, str(made.to_pylist()).encode()))
    with Image.open(io.BytesIO(crop)) as picture:
        assert not {"exif", "icc_profile", "xmp", "comment"} & set(picture.info)
        pixels = np.asarray(picture.convert("L"))
    # the orientation is in the pixels: what lay left is now above
    assert (made["picture_width"][0].as_py(), made["picture_height"][0].as_py()) == (96, 160)
    assert abs(int(pixels[2, 56]) - 200) < 3
    assert abs(int(pixels[-3, 56]) - 60) < 3
