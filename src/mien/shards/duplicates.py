"""Copies of one photograph under two names: found by perceptual hash, confirmed by correlation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.config import MienError
from mien.shards.folds import Split
from mien.shards.index import Index
from mien.shards.tars import Tars, damaged, decode_into

THUMB_PX = 32
_LOW = 8  # lowest frequencies per axis: 64 bits
_BLOCK = 128  # rows compared with all others at once
_PAIRS = 1024  # candidates confirmed at once
_SMOOTH_PX = 0.8  # of the thumbnail: gradients then hold for shifts of about a pixel
_FLAT = 1.0  # sum of squared grey levels about the mean below which a thumbnail has no content

_k, _x = np.arange(_LOW)[:, None], np.arange(THUMB_PX)[None, :]
_COSINES = np.cos(np.pi * _k * (2 * _x + 1) / (2 * THUMB_PX))  # (8, 32), DCT-II
_MIRROR = np.where(np.arange(_LOW) % 2, -1.0, 1.0)  # mirroring turns the odd horizontal frequencies round


@dataclass(frozen=True)
class Pairs:
    """Near-duplicates: rows `first` < `second`, and whether one is the mirror image of the other."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    mirrored: NDArray[np.bool_]

    def where(self, which: slice | NDArray[np.bool_]) -> "Pairs":
        """Some of the pairs."""
        return Pairs(self.first[which], self.second[which], self.mirrored[which])


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
    return _bits(low), _bits(low * _MIRROR)


def _bits(low: NDArray[np.float64]) -> int:
    return int.from_bytes(np.packbits(low > np.median(low)).tobytes(), "big")


def near_duplicates(index: Index, differ: NDArray[np.int64]) -> Pairs:
    """Pairs of rows that show the same photograph, among rows with different numbers in `differ` (N,).

    Rows numbered -1 are left out. Finds re-encoded and mirrored copies; thresholds are the index's own.
    """
    thumbs = np.zeros((len(index), THUMB_PX, THUMB_PX), dtype=np.uint8)
    made = np.zeros(len(index), dtype=np.bool_)
    found = [_NONE]
    hashed = (index.column("phash"), index.column("phash_mirrored"))
    for pairs in _candidates(*hashed, index.about.phash_distance, differ):
        rows = np.unique(np.concatenate([pairs.first, pairs.second]))
        rows = rows[~made[rows]]
        thumbs[rows], made[rows] = _thumbnails(index, rows), True
        for at in range(0, len(pairs.first), _PAIRS):
            some = pairs.where(slice(at, at + _PAIRS))
            found.append(some.where(_confirmed(thumbs, some, index.about.near_duplicate_correlation)))
    return _joined(found)


def _confirmed(thumbs: NDArray[np.uint8], pairs: Pairs, least: float) -> NDArray[np.bool_]:
    """Which pairs of thumbnails have at least this likeness; the second is turned round where so marked."""
    first, second, mirrored = pairs.first, pairs.second, pairs.mirrored
    turned = np.where(mirrored[:, None, None], thumbs[second][:, :, ::-1], thumbs[second])
    own, which = np.unique(first, return_inverse=True)  # few, as pairs come sorted
    close = _explained(turned, _bases(thumbs[own])[which]) >= least
    if close.any():
        close[close] = likeness(thumbs[first[close]], turned[close]) >= least
    return close


def candidates(
    plain: NDArray[np.uint64], mirrored: NDArray[np.uint64], distance: int, differ: NDArray[np.int64]
) -> Pairs:
    """Pairs whose hashes are at most `distance` bits apart, each pair once (unmirrored if both ways)."""
    return _joined([_NONE, *_candidates(plain, mirrored, distance, differ)])


def _candidates(
    plain: NDArray[np.uint64], mirrored: NDArray[np.uint64], distance: int, differ: NDArray[np.int64]
) -> Iterator[Pairs]:
    """Candidates of some rows at a time: of faces, one pair in fifty is one, too many for memory."""
    order = np.arange(len(plain))
    for first in range(0, len(plain), _BLOCK):
        block = slice(first, first + _BLOCK)
        allowed = differ[block, None] != differ[None, :]
        allowed &= (differ[block, None] >= 0) & (differ[None, :] >= 0) & (order[block, None] < order[None, :])
        same = (np.bitwise_count(plain[block, None] ^ plain[None, :]) <= distance) & allowed
        # the hash of a mirror image is exact only up to its median: look from both sides
        other = np.bitwise_count(plain[block, None] ^ mirrored[None, :]) <= distance
        other |= np.bitwise_count(mirrored[block, None] ^ plain[None, :]) <= distance
        for hit, is_mirrored in ((same, False), (other & allowed, True)):
            i, j = np.nonzero(hit)
            if len(i):
                yield Pairs(i + first, j, np.full(len(i), is_mirrored))


def _joined(pairs: Sequence[Pairs]) -> Pairs:
    return Pairs(
        *(np.concatenate([getattr(some, name) for some in pairs]) for name in ("first", "second", "mirrored"))
    )


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


def _thumbnails(index: Index, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    tars = Tars(index)
    widths, heights = index.column("width"), index.column("height")
    thumbs = np.empty((len(rows), THUMB_PX, THUMB_PX), dtype=np.uint8)
    for slot, row in enumerate(rows.tolist()):
        picture = np.empty((heights[row], widths[row], 3), dtype=np.uint8)
        try:
            decode_into(tars.read(row), picture)
        except ValueError as error:
            raise damaged(index.keys[row], tars.shard(row), error) from error
        thumbs[slot] = thumbnail(picture)
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
        _refuse_shared(index, index.column(name), part, what)
    pairs = near_duplicates(index, part)
    if len(pairs.first):
        keys = index.keys[pairs.first[0]], index.keys[pairs.second[0]]
        what = "mirror images of one photograph" if pairs.mirrored[0] else "copies of one photograph"
        _leak(*keys, what, more=len(pairs.first) - 1)


def _refuse_shared(index: Index, values: NDArray[np.object_], part: NDArray[np.int64], what: str) -> None:
    seen: dict[str, int] = {}
    for row, value in enumerate(values.tolist()):
        if value is None or part[row] < 0:
            continue
        first = seen.setdefault(value, row)
        if part[first] != part[row]:
            _leak(index.keys[first], index.keys[row], what)


def _leak(first: str, second: str, what: str, more: int = 0) -> None:
    others = f" (and {more} more pairs)" if more else ""
    raise MienError(
        f"{first} and {second} are {what} but stand in two parts of a fold{others}; give both the same "
        "subject, remove one, or allow it by name with shard.by: picture."
    )
