"""What a long-lived server does with the memory of pictures that are done with.

glibc keeps freed memory in the heap of the thread that had it, and gives back only what lies at the end. A
decoded picture or the maps of a network between two small things that live on stay for ever, and each new
size adds some.
"""

import ctypes
import time
from collections.abc import Callable

EVERY_S = 5.0
"""Looking through all heaps takes milliseconds, so not after each batch."""


class Heap:
    """The heaps of this process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._trim, self._clock = ctypes.CDLL("libc.so.6").malloc_trim, clock
        self._last = clock()

    def give_back(self) -> None:
        """Return what is free in the heaps to the system, if that was not done just before."""
        now = self._clock()
        if now - self._last >= EVERY_S:
            self._last = now
            self._trim(0)
