"""How a stage says how far it is: a line that moves on a terminal, now and then a line elsewhere."""

import sys
import time
from collections.abc import Callable
from typing import TextIO

MOVES_S, PRINTS_S = 0.5, 10.0


class Progress:
    """Counts done of total, with the rate and the time left; call it with both, as often as you like."""

    def __init__(
        self,
        what: str,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what = what
        self._stream = stream or sys.stderr
        self._clock = clock
        self._begun = self._said = clock()
        self._first: int | None = None  # done before this process began, which says nothing of its rate

    def __call__(self, done: int, total: int) -> None:
        """Say so, if it is time or all is done."""
        now = self._clock()
        if self._first is None:
            self._first = done
        live = self._stream.isatty()
        if now - self._said < (MOVES_S if live else PRINTS_S) and done < total:
            return
        self._said = now
        line = self._line(done, total, now)
        end = "\n" if done >= total or not live else ""
        print(f"\r\x1b[K{line}" if live else line, end=end, file=self._stream, flush=True)

    def _line(self, done: int, total: int, now: float) -> str:
        seconds = now - self._begun
        fresh = done - (self._first or 0)
        rate = fresh / seconds if seconds > 0 else 0.0
        rest = f", {(total - done) / rate:.0f} s left" if rate > 0 and done < total else ""
        return f"{self._what}: {done} of {total} in {seconds:.0f} s, {rate:.1f}/s{rest}"
