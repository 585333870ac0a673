"""Two processes that stay up for the whole test session with a gloo group between them."""

import multiprocessing as mp
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

WORLD = 2
PATIENCE_S = 120


class TwoRanks:
    """Call it with a test module's function and arguments: both ranks run it, both results come back."""

    def __init__(self, meeting: Path) -> None:
        context = mp.get_context("spawn")
        self._pipes, self._processes = [], []
        for rank in range(WORLD):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=_serve, args=(rank, str(meeting), theirs, list(sys.path)), daemon=True
            )
            process.start()
            self._pipes.append(ours)
            self._processes.append(process)

    def __call__(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        for pipe in self._pipes:
            pipe.send((function, args))
        results = []
        for rank, pipe in enumerate(self._pipes):
            if not pipe.poll(PATIENCE_S):
                raise TimeoutError(f"rank {rank} gave no answer in {PATIENCE_S} s")
            ok, value = pipe.recv()
            if not ok:
                raise AssertionError(f"rank {rank}:\n{value}")
            results.append(value)
        return results

    def close(self) -> None:
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.terminate()
            process.join()


def _serve(rank: int, meeting: str, pipe: Connection, path: list[str]) -> None:
    sys.path[:] = path
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=WORLD)
    while True:
        try:
            function, args = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send((True, function(*args)))
        except BaseException:  # noqa: BLE001 - whatever it is, the test that asked must hear of it
            pipe.send((False, traceback.format_exc()))
