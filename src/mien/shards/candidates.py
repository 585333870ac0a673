"""Pairs of pictures that may be copies, without comparing all with all.

Pictures that look alike fall on the same side of most planes through the origin (Charikar 2002), so only
those on the same side of a few dozen random planes are compared, again and again with other planes. The
number of planes grows with the logarithm of the number of pictures: pictures that are not alike seldom meet.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LOW = 8  # lowest frequencies per axis
NEAR = 0.3  # distance of appearances (a correlation of 0.955): copies off by a pixel or two are nearer
_MISSED = 0.01  # of pairs exactly that far apart; at two thirds of it one in 10^5 is missed
_SPARE_PLANES = 10  # above log2 of the pictures: faces are alike, and would crowd
_BITS = 64  # of a key
_FLAT = 1.0  # of an appearance's squared length, before it is made 1; below it a picture has no content
_AT_ONCE = 1 << 16  # pairs looked at together
_ROWS = 4096  # pictures whose sides are found together

MIRROR: NDArray[np.float32] = np.where(np.arange(LOW) % 2, -1.0, 1.0).astype(np.float32)
"""What mirroring does to the horizontal frequencies of a picture."""
_TURN = np.tile(MIRROR, LOW)  # and to an appearance

Looks = NDArray[np.float32] | NDArray[np.float16]
"""Appearances of pictures (N, 64): half precision tells them apart as well, and takes half the place."""


@dataclass(frozen=True)
class Pairs:
    """Near-duplicates: rows `first` < `second`, and whether one is the mirror image of the other."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    mirrored: NDArray[np.bool_]

    def where(self, which: slice | NDArray[np.bool_]) -> "Pairs":
        """Some of the pairs."""
        return Pairs(self.first[which], self.second[which], self.mirrored[which])


@dataclass(frozen=True)
class Hashes:
    """64-bit perceptual hashes of pictures (N,), and of their mirror images."""

    plain: NDArray[np.uint64]
    mirrored: NDArray[np.uint64]

    def apart(self, pairs: Pairs) -> NDArray[np.int64]:
        """Bits in which pairs differ; of mirror images the lesser of both ways, as medians are not exact."""
        first, second = pairs.first, pairs.second
        same = np.bitwise_count(self.plain[first] ^ self.plain[second])
        one = np.bitwise_count(self.plain[first] ^ self.mirrored[second])
        other = np.bitwise_count(self.mirrored[first] ^ self.plain[second])
        return np.asarray(np.where(pairs.mirrored, np.minimum(one, other), same), dtype=np.int64)


def appearances(low: NDArray[np.float64]) -> NDArray[np.float32]:
    """What is compared: lowest orthonormal DCT coefficients (N, 8, 8) -> (N, 64) of length 1 without mean.

    Brightness and contrast play no part then, and distances are at most those of the whole pictures. A flat
    picture becomes 0.
    """
    flat = low.reshape(len(low), LOW * LOW).copy()
    flat[:, 0] = 0
    power = np.square(flat).sum(axis=1, keepdims=True)
    return np.where(power < _FLAT, 0.0, flat / np.sqrt(np.maximum(power, _FLAT))).astype(np.float32)


def candidates(
    looks: Looks, hashes: Hashes, distance: int, differ: NDArray[np.int64], seed: int = 0
) -> Pairs:
    """Pairs with appearances (N, 64) at most NEAR apart and hashes at most `distance` bits, in order.

    Only rows with different numbers in `differ` (N,) are paired. A pair may be there twice: as it is and
    mirrored. Equal arguments give equal pairs. Takes some 60 bytes a picture, and 8 a pair.
    """
    count = len(looks)
    planes = min(int(np.ceil(np.log2(max(count, 2)))) + _SPARE_PLANES, _BITS)
    random = np.random.default_rng(seed)
    found = np.empty(0, dtype=np.int64)
    for _ in range(_tables(planes)):
        normals = random.standard_normal((LOW * LOW, planes), dtype=np.float32)
        new = [found]
        for left, right in _meeting(_both_keys(looks, normals)):
            pairs = _ordered(left, right, count)
            pairs = pairs.where(differ[pairs.first] != differ[pairs.second])
            pairs = pairs.where(hashes.apart(pairs) <= distance)
            pairs = pairs.where(_near(looks, pairs))
            new.append((pairs.first * count + pairs.second) * 2 + pairs.mirrored)
        found = np.unique(np.concatenate(new))
    first, second = np.divmod(found // 2, max(count, 1))
    return Pairs(first, second, found % 2 == 1)


def _tables(planes: int) -> int:
    """How often planes are drawn: pairs at NEAR are missed by all of them with probability _MISSED."""
    meet = (1 - 2 * np.arcsin(NEAR / 2) / np.pi) ** planes
    return int(np.ceil(np.log(_MISSED) / np.log1p(-meet)))


def _both_keys(looks: Looks, normals: NDArray[np.float32]) -> NDArray[np.uint64]:
    """The keys (2 N,) of all pictures and then of their mirror images."""
    count, mirrored = len(looks), _TURN[:, None] * normals  # as good as mirroring all the pictures
    keys = np.empty(2 * count, dtype=np.uint64)
    for at in range(0, count, _ROWS):
        some = looks[at : at + _ROWS].astype(np.float32)
        keys[at : at + len(some)] = _keys(some @ normals)
        keys[count + at : count + at + len(some)] = _keys(some @ mirrored)
    return keys


def _keys(along: NDArray[np.float32]) -> NDArray[np.uint64]:
    """On which side of each plane rows lie (N, planes), as the bits of a number."""
    padded = np.zeros((len(along), _BITS), dtype=np.bool_)
    padded[:, : along.shape[1]] = along > 0
    return np.packbits(padded, axis=1).view(np.uint64)[:, 0]


def _meeting(keys: NDArray[np.uint64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """All pairs of rows with equal keys, some at a time: one step apart in their order, then two, and on."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    at, step = np.flatnonzero(ordered[1:] == ordered[:-1]), 1
    while len(at):
        for begin in range(0, len(at), _AT_ONCE):
            some = at[begin : begin + _AT_ONCE]
            yield order[some], order[some + step]
        step += 1
        at = at[at + step < len(keys)]
        at = at[ordered[at] == ordered[at + step]]


def _ordered(left: NDArray[np.int64], right: NDArray[np.int64], count: int) -> Pairs:
    """Rows of pictures and, from `count` on, of mirror images -> pairs of pictures.

    Two mirror images are as alike as their pictures; a picture and its own mirror image are no pair.
    """
    mirrored = (left >= count) != (right >= count)
    left, right = left % max(count, 1), right % max(count, 1)
    pairs = Pairs(np.minimum(left, right), np.maximum(left, right), mirrored)
    return pairs.where(left != right)


def _near(looks: Looks, pairs: Pairs) -> NDArray[np.bool_]:
    first, second = (looks[rows].astype(np.float32) for rows in (pairs.first, pairs.second))
    second[pairs.mirrored] *= _TURN
    return np.asarray(np.square(first - second).sum(axis=1) <= NEAR**2)
