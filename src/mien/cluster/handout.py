"""Which cell a worker group trains next: whoever is free takes the next one, of whichever experiment."""

from collections.abc import Sequence
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy


class Handout:
    """Cells that wait, and who has which; lives in an actor that all worker groups of a training ask.

    A group that asks again without having finished, as it was restarted, gets the cell that it had.
    """

    def __init__(self, jobs: Sequence[dict[str, Any]]) -> None:
        self._jobs = jobs
        self._waiting = list(range(len(jobs)))
        self._held: dict[int, int] = {}

    def next(self, group: int, finished: int | None) -> int | None:
        """The number of the cell to train now; None when there is none left. finished: the one before."""
        if self._held.get(group) == finished:
            self._held.pop(group, None)
        if group not in self._held:
            if not self._waiting:
                return None
            self._held[group] = self._waiting.pop(0)
        return self._held[group]

    def job(self, number: int) -> dict[str, Any]:
        """What a group is told of a cell."""
        return self._jobs[number]

    def left(self) -> bool:
        """Whether cells wait for a group."""
        return bool(self._waiting)

    def give_up(self, group: int) -> str | None:
        """The experiment whose cell a group failed at, if any; its other cells wait no longer."""
        number = self._held.pop(group, None)
        if number is None:
            return None
        failed: str = self._jobs[number]["experiment"]
        self._waiting = [n for n in self._waiting if self._jobs[n]["experiment"] != failed]
        return failed


def hand_out(jobs: Sequence[dict[str, Any]]) -> Any:
    """The actor, on this node: it goes when this process goes, and not with another machine."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(num_cpus=0)(Handout).options(scheduling_strategy=here).remote(list(jobs))
