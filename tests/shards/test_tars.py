import cv2
import numpy as np
import pytest
import simplejpeg

from mien.shards.tars import decode_into
from tests.shards.painted import jpeg, picture, png


def decoded(data: bytes, side: int = 48) -> np.ndarray:
    out = np.full((side, side, 3), 7, dtype=np.uint8)
    decode_into(data, out)
    return out


def test_png_is_exact_and_jpeg_near():
    pixels = picture(3)
    np.testing.assert_array_equal(decoded(png(pixels)), pixels)
    assert np.abs(decoded(jpeg(pixels)).astype(int) - pixels).mean() < 6
    np.testing.assert_array_equal(decoded(memoryview(jpeg(pixels))), simplejpeg.decode_jpeg(jpeg(pixels)))


def test_grey_crops_become_three_equal_channels():
    grey = cv2.cvtColor(picture(3), cv2.COLOR_RGB2GRAY)
    for data in (
        simplejpeg.encode_jpeg(grey[..., None].copy(), 100, "GRAY", "444"),
        cv2.imencode(".png", grey)[1].tobytes(),
    ):
        out = decoded(data)
        assert np.abs(out.astype(int) - grey[..., None]).max() <= 2


@pytest.mark.parametrize("make", [jpeg, png])
@pytest.mark.parametrize("side", [47, 49, 96])
def test_another_size_is_refused(make, side):
    with pytest.raises(ValueError, match="48"):
        decoded(make(picture(3)), side)


@pytest.mark.parametrize("make", [jpeg, png])
@pytest.mark.parametrize("keep", [2, 20, 0.5, 0.9])
def test_damaged_bytes_are_refused(make, keep):
    data = make(picture(3))
    with pytest.raises(ValueError, match=r".+"):
        decoded(data[: keep if isinstance(keep, int) else int(keep * len(data))])


def test_bytes_that_are_no_picture_are_refused():
    for data in (b"", b"\0" * 3000, b"GIF89a"):
        with pytest.raises(ValueError, match=r".+"):
            decoded(data)
