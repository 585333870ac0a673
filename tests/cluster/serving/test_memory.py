"""Freed memory goes back to the system."""

import psutil

from mien.cluster.serving.memory import EVERY_S, Heap


def _mb() -> float:
    return float(psutil.Process().memory_info().rss / 2**20)


def test_what_is_free_between_things_that_live_on_is_given_back_now_and_then() -> None:
    now = 0.0
    heap = Heap(lambda: now)
    blocks = [bytes(b"x" * 100_000) for _ in range(1000)]  # small enough for the heap
    kept = blocks[::10]
    before = _mb()
    del blocks
    now = EVERY_S - 0.1
    heap.give_back()
    assert before - _mb() < 20  # too early
    now = EVERY_S
    heap.give_back()
    assert before - _mb() > 60  # of 90 MB
    assert len(kept) == 100
