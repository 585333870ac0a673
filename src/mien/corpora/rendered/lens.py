"""From linear light to a photograph: backdrops, blur, sensor noise, tone and JPEG."""

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from mien.corpora.rendered.arrays import Floats, floats
from mien.corpora.rendered.shots import Shot, muted


def backdrop(shot: Shot, px: int, rng: np.random.Generator) -> Floats:
    """What is behind the head, (px, px, 3) linear RGB."""
    plain = np.broadcast_to(shot.backdrop_colour, (px, px, 3)).astype(np.float32)
    x, y = np.meshgrid(np.linspace(-1, 1, px, dtype=np.float32), np.linspace(-1, 1, px, dtype=np.float32))
    other = muted(rng)
    if shot.backdrop == 0:
        return floats(plain * (1 - 0.12 * (x * x + y * y))[..., None])
    if shot.backdrop == 1:  # a wall with a gradient
        ramp = 0.5 + 0.5 * (x * rng.uniform(-1, 1) + y * rng.uniform(-1, 1))
        return floats(plain + (other - plain) * ramp[..., None])
    if shot.backdrop == 2:  # boards or bricks
        return np.where(_boards(x, y, rng)[..., None], plain, plain * np.float32(0.5))
    if shot.backdrop == 3:  # clouds, leaves, crowds out of focus
        return floats(plain + (other - plain) * _clouds(px, rng)[..., None])
    return _lights(plain, other, px, rng)


def _boards(x: Floats, y: Floats, rng: np.random.Generator) -> NDArray[np.bool_]:
    scale = rng.uniform(3, 9)
    row = np.floor(y * scale)
    joints = (x * scale * rng.uniform(0.3, 1) + 0.5 * (row % 2)) % 1
    return np.asarray(((y * scale) % 1 > 0.08) & (joints > 0.06))


def _clouds(px: int, rng: np.random.Generator) -> Floats:
    total = np.zeros((px, px), np.float32)
    for cells in (3, 6, 12, 24):
        patch = cv2.resize(rng.random((cells, cells), np.float32), (px, px), interpolation=cv2.INTER_CUBIC)
        total += floats(patch) / np.float32(cells**0.7)
    return floats((total - total.min()) / max(float(np.ptp(total)), 1e-6))


def _lights(plain: Floats, other: Floats, px: int, rng: np.random.Generator) -> Floats:
    """Rooms and streets: boxes and discs of any colour, out of focus."""
    canvas = np.ascontiguousarray(plain * np.float32(0.6))
    for _ in range(rng.integers(4, 14)):
        colour = tuple(float(c) for c in muted(rng) * rng.uniform(0.4, 1.8))
        at = tuple(int(v) for v in rng.integers(0, px, 2))
        if rng.random() < 0.5:
            size = rng.integers(px // 16, px // 2, 2)
            cv2.rectangle(canvas, at, (at[0] + int(size[0]), at[1] + int(size[1])), colour, -1)
        else:
            cv2.circle(canvas, at, int(rng.integers(px // 40, px // 8)), colour, -1)
    return floats(cv2.GaussianBlur(canvas + 0.1 * other, (0, 0), float(rng.uniform(0.5, 6))))


def develop(light: Floats, shot: Shot, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Linear RGB (px, px, 3) -> 8-bit sRGB with a soft shoulder, blur and noise."""
    exposed = light * np.float32(shot.exposure)
    # highlights roll off instead of clipping
    bright = exposed > 0.7
    exposed[bright] = 0.7 + 0.3 * np.tanh((exposed[bright] - 0.7) / 0.3)
    blurred = floats(cv2.GaussianBlur(exposed, (0, 0), shot.blur_px))
    grain = rng.standard_normal(blurred.shape, np.float32)
    grain *= shot.noise
    tone = np.clip(blurred, 0, 1, out=blurred)
    tone **= np.float32(1 / 2.2)
    tone += grain
    tone *= 255
    return np.asarray(np.clip(np.rint(tone, out=tone), 0, 255, out=tone), np.uint8)


def encode(picture: NDArray[np.uint8], quality: int) -> bytes:
    """JPEG bytes of an RGB picture; the same bytes for the same picture."""
    return bytes(
        simplejpeg.encode_jpeg(
            np.ascontiguousarray(picture), quality=quality, colorspace="RGB", colorsubsampling="420"
        )
    )
