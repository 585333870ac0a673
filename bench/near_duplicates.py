"""The search for near-duplicates: what it finds of planted copies, and how its time grows.

Give a folder of shards that `mien` made. Copies of its faces, moved, turned, scaled, encoded anew and half of
them mirrored, are looked for among all of them, and by comparing all with all. Time is told for random
pictures, and for mixtures of two faces each, which are more alike than faces are.
"""

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from mien.shards.candidates import Hashes, Pairs, candidates
from mien.shards.duplicates import _appearances, _confirmed, _thumbnails, hashes, thumbnail
from mien.shards.index import Index, read_index
from mien.shards.tars import Tars

COUNTS, PLANTED, BLOCK = (5_000, 10_000, 20_000, 40_000), 500, 512
MOST = (1.0, 2.0, 2.5)  # px of 112, degrees and per cent
Thumbs = NDArray[np.uint8]


def moved(face: Thumbs, random: np.random.Generator, most: float) -> Thumbs:
    aside, down, turned, larger = random.uniform(-most, most, 4)
    side = face.shape[0]
    matrix = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), turned, 1 + larger / 100)
    matrix[:, 2] += np.array([aside, down]) * side / 112
    still = cv2.warpAffine(face, matrix, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    quality = int(random.integers(40, 95))
    return simplejpeg.decode_jpeg(simplejpeg.encode_jpeg(still, quality=quality))


def hashed(thumbs: Thumbs) -> Hashes:
    both = np.array([hashes(thumb) for thumb in thumbs], dtype=np.uint64)
    return Hashes(both[:, 0].copy(), both[:, 1].copy())


def all_with_all(found: Hashes, distance: int, differ: NDArray[np.int64]) -> Pairs:
    """Every pair whose hashes are near: what the search did before it had candidates."""
    pairs = []
    for at in range(0, len(differ), BLOCK):
        block = slice(at, at + BLOCK)
        allowed = (differ[block, None] != differ[None]) & (
            np.arange(len(differ))[block, None] < np.arange(len(differ))
        )
        same = np.bitwise_count(found.plain[block, None] ^ found.plain[None]) <= distance
        other = np.bitwise_count(found.plain[block, None] ^ found.mirrored[None]) <= distance
        other |= np.bitwise_count(found.mirrored[block, None] ^ found.plain[None]) <= distance
        for hit, mirrored in ((same & allowed, False), (other & allowed, True)):
            i, j = np.nonzero(hit)
            pairs.append(Pairs(i + at, j, np.full(len(i), mirrored)))
    return Pairs(*(np.concatenate([getattr(p, n) for p in pairs]) for n in ("first", "second", "mirrored")))


def close(thumbs: Thumbs, pairs: Pairs, least: float) -> set[tuple[int, int, bool]]:
    kept = set()
    for at in range(0, len(pairs.first), 1024):
        some = pairs.where(slice(at, at + 1024))
        some = some.where(_confirmed(thumbs, some, least))
        kept |= set(zip(some.first.tolist(), some.second.tolist(), some.mirrored.tolist(), strict=True))
    return kept


def recall(index: Index) -> None:
    random, tars = np.random.default_rng(0), Tars(index)
    thumbs = _thumbnails(index, tars, np.arange(len(index)))
    rows = random.permutation(len(index))[:PLANTED]
    print(
        "| copies off by up to | planted | all with all finds | this finds | both find | pairs registered |"
    )
    print("|---|---|---|---|---|---|")
    for most in MOST:
        again = []
        for slot, row in enumerate(rows.tolist()):
            face = moved(simplejpeg.decode_jpeg(tars.read(row)), random, most)
            again.append(thumbnail(np.ascontiguousarray(face[:, ::-1]) if slot % 2 else face))
        faces = np.concatenate([thumbs, np.stack(again)])
        planted = {(int(row), len(thumbs) + slot, bool(slot % 2)) for slot, row in enumerate(rows)}
        differ = np.concatenate([index.group, index.group.max() + 1 + np.arange(len(rows))]).astype(np.int64)
        keys, about = hashed(faces), index.about
        few = candidates(_appearances(faces), keys, about.phash_distance, differ)
        many = all_with_all(keys, about.phash_distance, differ)
        found, sought = (close(faces, pairs, about.near_duplicate_correlation) for pairs in (few, many))
        sizes = f"{len(few.first):,} of {len(many.first):,}"
        print(
            f"| {most} px, degrees, % | {len(planted)} | {len(planted & sought)} | {len(planted & found)} | "
            f"{len(found & sought)} of all its {len(sought)} | {sizes} |",
            flush=True,
        )


def growth(index: Index, counts: list[int]) -> None:
    thumbs = _thumbnails(index, Tars(index), np.arange(len(index)))
    print("| pictures | random ones: CPU s | pairs | mixed faces: CPU s | pairs | of all pairs |")
    print("|---|---|---|---|---|---|")
    for count in counts:
        random = np.random.default_rng(0)
        told = []
        for kind in ("random", "mixed"):
            if kind == "random":
                coarse = random.uniform(0, 255, (count, 7, 7)).astype(np.float32)
                made = np.stack([cv2.resize(c, (32, 32), interpolation=cv2.INTER_CUBIC) for c in coarse])
                made = np.clip(made, 0, 255).astype(np.uint8)
            else:
                one, other = random.integers(0, len(thumbs), (2, count))
                made = (thumbs[one] // 2 + thumbs[other] // 2).astype(np.uint8)
            looks, keys = _appearances(made), hashed(made)
            begun = time.process_time()
            pairs = candidates(looks, keys, index.about.phash_distance, np.arange(count))
            told.append((time.process_time() - begun, len(pairs.first)))
        (first, some), (second, more) = told
        share = more / count**2
        print(f"| {count:,} | {first:.2f} | {some} | {second:.2f} | {more:,} | {share:.1e} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards", type=Path)
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS)
    parser.add_argument("--only", choices=("recall", "growth"))
    given = parser.parse_args()
    cv2.setNumThreads(1)
    index = read_index(given.shards)
    if given.only != "growth":
        recall(index)
    if given.only != "recall":
        growth(index, given.counts)


if __name__ == "__main__":
    main()
