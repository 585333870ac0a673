"""Which face comes when: pure functions of (seed, epoch). Ranks, workers and resumption only cut it up."""

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from mien.config import MienError

Rows = NDArray[np.int64]


def shuffled(count: int, seed: int, epoch: int) -> Rows:
    """A permutation of `count` positions, the same on every rank."""
    return np.random.default_rng([seed, epoch]).permutation(count).astype(np.int64)


def balanced(label: Rows, batch_size: int, seed: int, epoch: int) -> Rows:
    """An order in which every global batch has equally many faces of each class, the same on every rank.

    label (N,) -> floor(N / batch_size) * batch_size positions. A class is gone through in a random order, and
    again in another when it has run out, so that a rare one comes several times and a frequent one in part.
    Not pytorch-metric-learning's MPerClassSampler, which draws from one generator of the whole process.
    MienError: a batch that the classes cannot share.
    """
    classes = np.unique(label[label >= 0])
    if len(classes) == 0 or batch_size % len(classes):
        raise MienError(
            f"balanced batches of {batch_size} cannot be shared by {len(classes)} classes; change batch_size."
        )
    random = np.random.default_rng([seed, epoch])
    each, steps = batch_size // len(classes), steps_of(len(label), batch_size)
    columns = []
    for name in classes:
        own = np.flatnonzero(label == name)
        rounds = [random.permutation(own) for _ in range(-(-steps * each // len(own)))]
        columns.append(np.concatenate(rounds)[: steps * each].reshape(steps, each))
    return random.permuted(np.concatenate(columns, axis=1), axis=1).reshape(-1).astype(np.int64)


def streamed(shards: NDArray[np.int64], seed: int, epoch: int, window: int) -> Rows:
    """An order that can be had by reading each tar once from its beginning to its end.

    shards (N,): number of the tar of each position, ascending. Tars come in random order; then each run of
    `window` faces, which may span several tars, is shuffled.
    """
    random = np.random.default_rng([seed, epoch, 1])
    order = np.argsort(placed(streamed_tars(shards, seed, epoch))[shards], kind="stable").astype(np.int64)
    for first in range(0, len(order), window):
        order[first : first + window] = random.permutation(order[first : first + window])
    return order


def streamed_tars(shards: NDArray[np.int64], seed: int, epoch: int) -> Rows:
    """The tars in the order in which `streamed` has them."""
    return np.random.default_rng([seed, epoch]).permutation(np.unique(shards)).astype(np.int64)


def placed(numbers: Rows) -> Rows:
    """The place of each number within `numbers`; what is not among them has no meaning."""
    place = np.zeros(int(numbers.max(initial=-1)) + 1, dtype=np.int64)
    place[numbers] = np.arange(len(numbers))
    return place


def balanced_by_people(label: Rows, subject: Rows, batch_size: int, seed: int, epoch: int) -> Rows:
    """Balanced batches of which each is so many people, each with a face of every class.

    label, subject (N,) -> floor(N / batch_size) * batch_size positions. All people come equally often; where
    somebody has no face of a class, another person's stands in. MienError: a batch that the classes cannot
    share, or nobody is known.
    """
    classes, people = np.unique(label[label >= 0]), np.unique(subject[(subject >= 0) & (label >= 0)])
    if len(classes) == 0 or batch_size % len(classes) or len(people) == 0:
        raise MienError(
            f"batches of {batch_size} cannot be made of people with a face of each of {len(classes)} classes "
            f"({len(people)} people are known); change batch_size, or take a corpus that knows its people."
        )
    random = np.random.default_rng([seed, epoch])
    each, steps = batch_size // len(classes), steps_of(len(label), batch_size)
    rounds = [random.permutation(people) for _ in range(-(-steps * each // len(people)))]
    chosen = np.concatenate(rounds)[: steps * each]
    columns = []
    for name in classes:
        of_class = np.flatnonzero(label == name)
        own = {person: of_class[subject[of_class] == person] for person in people.tolist()}
        drawn = [own[p] if len(own[p]) else of_class for p in chosen.tolist()]
        columns.append(np.array([random.choice(rows) for rows in drawn]).reshape(steps, each))
    return random.permuted(np.concatenate(columns, axis=1), axis=1).reshape(-1).astype(np.int64)


def steps_of(count: int, batch_size: int) -> int:
    """Steps of a training epoch: the incomplete last batch is left out. MienError if there is none."""
    if count < batch_size:
        raise MienError(f"batch_size is {batch_size}, but the part has only {count} faces; lower batch_size.")
    return count // batch_size


def share(order: Rows, batch_size: int, rank: int, world: int, start: int) -> list[Rows]:
    """This rank's contiguous part of each global batch from step `start` on.

    MienError: batch_size does not divide over the ranks, or is larger than the part.
    """
    if batch_size % world:
        raise MienError(f"batch_size {batch_size} does not divide over {world} workers; change one.")
    own = batch_size // world
    firsts = range(start * batch_size + rank * own, steps_of(len(order), batch_size) * batch_size, batch_size)
    return [order[first : first + own] for first in firsts]


def in_turn(count: int, batch_size: int, rank: int, world: int) -> list[Rows]:
    """Every position exactly once over the ranks, in order; batches may be short, none is empty."""
    batches = (np.arange(first, min(first + batch_size, count)) for first in range(0, count, batch_size))
    return [part for batch in batches if len(part := np.array_split(batch, world)[rank])]


def key_hashes(keys: Iterable[str]) -> NDArray[np.uint64]:
    """A stable 64-bit number for each key, the same on every machine."""
    digests = b"".join(hashlib.blake2b(key.encode(), digest_size=8).digest() for key in keys)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def face_seeds(hashes: NDArray[np.uint64], seed: int, epoch: int) -> NDArray[np.int64]:
    """Mix key hashes with (seed, epoch) by splitmix64: the source of each face's augmentation."""
    run = _splitmix64(_splitmix64(np.array([seed], dtype=np.uint64)) ^ np.uint64(epoch))
    return _splitmix64(_splitmix64(hashes ^ run)).view(np.int64)


def _splitmix64(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014; wraps modulo 2**64."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
