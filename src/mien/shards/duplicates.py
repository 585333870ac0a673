"""Copies of one photograph under two names: found by their low frequencies, confirmed by registration."""

import os
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.config import MienError
from mien.shards.candidates import LOW, MIRROR, Hashes, Pairs, appearances, candidates
from mien.shards.folds import Split
from mien.shards.index import Index
from mien.shards.tars import Tars, damaged, decode_into

THUMB_PX = 32
_PAIRS = 1024  # candidates confirmed at once
_DECODED = 1024  # pictures at once
_HELD = 1 << 16  # thumbnails in memory: of more candidates some are decoded again
_SMOOTH_PX = 0.8  # of the thumbnail: gradients then hold for shifts of about a pixel
_FLAT = 1.0  # sum of squared grey levels about the mean below which a thumbnail has no content

_k, _x = np.arange(LOW)[:, None], np.arange(THUMB_PX)[None, :]
_COSINES = np.cos(np.pi * _k * (2 * _x + 1) / (2 * THUMB_PX))  # (8, 32), DCT-II
_ORTHONORMAL = np.asarray(_COSINES * np.sqrt(np.where(_k == 0, 1, 2) / THUMB_PX), dtype=np.float64)
_NONE = Pairs(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0, dtype=np.bool_))


def thumbnail(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Shrink (H, W, 3) RGB to (32, 32) grey, each pixel the mean of what it covers."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, (THUMB_PX, THUMB_PX), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def hashes(thumb: NDArray[np.uint8]) -> tuple[int, int]:
    """64-bit perceptual hashes of a thumbnail and of its mirror image.

    The 8x8 lowest DCT coefficients against their median, as `imagehash.phash` (Krawetz 2011) does it, which
    has no mirrored form and needs a Pillow image for each picture.
    """
    low = _COSINES @ thumb.astype(np.float64) @ _COSINES.T
    return _bits(low), _bits(low * MIRROR)


def _bits(low: NDArray[np.float64]) -> int:
    return int.from_bytes(np.packbits(low > np.median(low)).tobytes(), "big")


def near_duplicates(index: Index, differ: NDArray[np.int64]) -> Pairs:
    """Pairs of rows that show the same photograph, among rows with different numbers in `differ` (N,).

    Rows numbered -1 are left out. Finds re-encoded and mirrored copies; thresholds are the index's own. Time
    grows a little faster than the number of rows (candidates.py), and with the pairs that look alike.
    """
    use = np.flatnonzero(differ >= 0)
    if len(np.unique(differ[use])) < 2:
        return _NONE
    tars = Tars(index)
    looks = np.empty((len(use), LOW * LOW), dtype=np.float16)
    for at in range(0, len(use), _DECODED):
        looks[at : at + _DECODED] = _appearances(_thumbnails(index, tars, use[at : at + _DECODED]))
    hashed = Hashes(index.column("phash")[use], index.column("phash_mirrored")[use])
    pairs = candidates(looks, hashed, index.about.phash_distance, differ[use])
    del looks
    found = pairs.where(_all_confirmed(index, tars, use, pairs))
    return Pairs(use[found.first], use[found.second], found.mirrored)


def _all_confirmed(index: Index, tars: Tars, use: NDArray[np.int64], pairs: Pairs) -> NDArray[np.bool_]:
    """Which pairs of `use` are copies; few thumbnails are in memory at a time."""
    close = np.empty(len(pairs.first), dtype=np.bool_)
    few = len(np.unique(np.concatenate([pairs.first, pairs.second]))) <= _HELD
    each = max(len(close), 1) if few else _HELD // 2
    for begin in range(0, len(close), each):
        some = pairs.where(slice(begin, begin + each))
        rows, slots = np.unique(np.stack([some.first, some.second]), return_inverse=True)
        thumbs = _thumbnails(index, tars, use[rows])
        for at in range(0, len(some.first), _PAIRS):
            part = slice(at, at + _PAIRS)
            inside = Pairs(slots[0, part], slots[1, part], some.mirrored[part])
            close[begin + at : begin + at + len(inside.first)] = _confirmed(
                thumbs, inside, index.about.near_duplicate_correlation
            )
    return close


def _appearances(thumbs: NDArray[np.uint8]) -> NDArray[np.float32]:
    return appearances(_ORTHONORMAL @ thumbs.astype(np.float64) @ _ORTHONORMAL.T)


def _confirmed(thumbs: NDArray[np.uint8], pairs: Pairs, least: float) -> NDArray[np.bool_]:
    """Which pairs of thumbnails have at least this likeness; the second is turned round where so marked."""
    first, second, mirrored = pairs.first, pairs.second, pairs.mirrored
    turned = np.where(mirrored[:, None, None], thumbs[second][:, :, ::-1], thumbs[second])
    own, which = np.unique(first, return_inverse=True)  # few, as pairs come sorted
    close = _explained(turned, _bases(thumbs[own])[which]) >= least
    if close.any():
        close[close] = likeness(thumbs[first[close]], turned[close]) >= least
    return close


def likeness(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Correlation of thumbnails (N, 32, 32), pair by pair -> (N,), but for a small similarity between them.

    A copy that goes through the detector again comes out a little shifted, turned and scaled, which plain
    correlation takes for another picture. To first order (Lucas and Kanade 1981) it is a sum of the picture,
    its two gradients, and its derivatives by turn and size. The likeness is the multiple correlation with
    these five, the lesser of both directions. Two flat pictures count as alike.
    """
    return np.minimum(_explained(left, _bases(right)), _explained(right, _bases(left)))


def _explained(pictures: NDArray[np.uint8], bases: NDArray[np.float32]) -> NDArray[np.float64]:
    """Multiple correlation of each picture with the small similarities of another, given as a basis."""
    values = _inner(_smooth(pictures))
    along = np.einsum("ntk,nk->nt", bases, values)
    power = np.square(values).sum(axis=1)
    alike = np.sqrt(np.square(along).sum(axis=1) / np.maximum(power, _FLAT)) * (along[:, 0] > 0)
    flat = ~bases.any(axis=(1, 2))
    return np.asarray(np.where(power < _FLAT, flat, alike), dtype=np.float64)


def _bases(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Orthonormal (N, 5, K): the picture first, then what its small similarities add; 0 for a flat one."""
    pixels = _smooth(pictures)
    down, along = np.gradient(pixels, axis=(1, 2))
    y, x = np.mgrid[0:THUMB_PX, 0:THUMB_PX].astype(np.float32) / THUMB_PX - 0.5
    terms = (pixels, along, down, x * along + y * down, x * down - y * along)
    columns = np.stack([_inner(np.asarray(term)) for term in terms], axis=2)
    bases, triangle = np.linalg.qr(columns)
    # QR leaves the sign open: let the first vector point as the picture does
    bases *= np.sign(triangle[:, :1, :1])
    seen = np.square(columns[:, :, 0]).sum(axis=1) >= _FLAT
    return np.asarray(np.swapaxes(bases, 1, 2) * seen[:, None, None], dtype=np.float32)


def _smooth(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.stack(
        [cv2.GaussianBlur(picture.astype(np.float32), (0, 0), _SMOOTH_PX) for picture in pictures]
    )


def _inner(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, 32, 32) without the border, where gradients are one-sided, as (N, K) with mean 0."""
    flat = pictures[:, 1:-1, 1:-1].reshape(len(pictures), -1)
    return np.asarray(flat - flat.mean(axis=1, keepdims=True))


def _thumbnails(index: Index, tars: Tars, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    widths, heights = index.column("width"), index.column("height")

    def small(row: int) -> NDArray[np.uint8]:
        picture = np.empty((heights[row], widths[row], 3), dtype=np.uint8)
        try:
            decode_into(tars.read(row), picture)
        except ValueError as error:
            raise damaged(index.keys[row], tars.shard(row), error) from error
        return thumbnail(picture)

    thumbs = np.empty((len(rows), THUMB_PX, THUMB_PX), dtype=np.uint8)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for at in range(0, len(rows), _DECODED):
            some = slice(at, at + _DECODED)
            thumbs[some] = list(pool.map(small, rows[some].tolist()))
    return thumbs


def refuse_leaks(index: Index, split: Split | None = None) -> None:
    """MienError when one person or one photograph stands in two parts; names the two keys.

    Without a split every group of the index counts as a part, which covers all splits of all folds. Looked
    for: the same subject, the same file, and near-duplicates, re-encoded and mirrored ones included. Nothing
    is refused where params.yaml says `shard.by: picture`, because then the index and the report say so.
    """
    if index.shares_people:
        return
    part = index.group.astype(np.int64) if split is None else split.parts(len(index))
    for name, what in (
        ("subject", "the same person"),
        ("picture_sha256", "the same file"),
        ("crop_sha256", "the same crop"),
    ):
        _refuse_shared(index, name, part, what)
    pairs = near_duplicates(index, part)
    if len(pairs.first):
        keys = index.keys[pairs.first[0]], index.keys[pairs.second[0]]
        what = "mirror images of one photograph" if pairs.mirrored[0] else "copies of one photograph"
        _leak(*keys, what, more=len(pairs.first) - 1)


def _refuse_shared(index: Index, name: str, part: NDArray[np.int64], what: str) -> None:
    values = index.table.column(name).dictionary_encode().unify_dictionaries().combine_chunks()
    number = np.asarray(values.indices.fill_null(-1))
    rows = np.flatnonzero((number >= 0) & (part >= 0))
    first = np.zeros(len(values.dictionary), dtype=np.int64)
    first[number[rows[::-1]]] = rows[::-1]
    leaks = rows[part[rows] != part[first[number[rows]]]]
    if len(leaks):
        _leak(index.keys[first[number[leaks[0]]]], index.keys[leaks[0]], what)


def _leak(first: str, second: str, what: str, more: int = 0) -> None:
    others = f" (and {more} more pairs)" if more else ""
    raise MienError(
        f"{first} and {second} are {what} but stand in two parts of a fold{others}; give both the same "
        "subject, remove one, or allow it by name with shard.by: picture."
    )
