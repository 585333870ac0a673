"""`pipeline/train.py` with something in the workers' way: python disturbed.py shot|still|noted LOG."""

import json
import os
import runpy
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from mien.cluster.environment import prepare_environment

REPOSITORY = Path(__file__).parents[2]
DEADLY_STEP = 6
"""Of the first cell: the first of two steps of its fourth epoch."""

Take = Callable[..., Any]


def until_shot(take: Take, log: Path) -> Take:
    """A step that writes its number to the log; after DEADLY_STEP, the first time, its process is killed."""

    def stepped(module: nn.Module, method: nn.Module, batch: Any, phase: Any, number: int, *rest: Any) -> Any:
        seen = take(module, method, batch, phase, number, *rest)
        before = log.read_text().split() if log.exists() else []
        with log.open("a") as file:
            file.write(f"{number}\n")
        if str(DEADLY_STEP) in before:
            time.sleep(0.3)  # for the test to shoot at the stage itself
        elif number == DEADLY_STEP:
            time.sleep(2)  # what was reported has arrived by now
            os.kill(os.getpid(), signal.SIGKILL)
        return seen

    return stepped


def still(take: Take) -> Take:
    """A step with batch-norm's statistics held: in a batch's half they would be others. And with no rectifier
    that the last bits of a sum, which depend on the batch's size, could tip over its brink."""

    def stepped(module: nn.Module, method: nn.Module, *rest: Any) -> Any:
        for part in method.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.eval()
            elif isinstance(part, nn.ReLU):
                part.forward = nn.functional.silu
        return take(module, method, *rest)

    return stepped


def plain_descent(method: Any, phase: Any, turn: str) -> torch.optim.Optimizer:
    """In place of Adam, which divides a gradient of nearly 0 by itself, rounding and all."""
    return torch.optim.SGD(method.moved_by(phase, turn), lr=1.0)


def shot_worker(config: dict[str, Any], log: Path) -> None:
    """train_cells with a clock that counts the steps: when it reports and saves is then no matter of luck."""
    from mien.cluster import worker
    from mien.training import loop

    ticks = [0]
    taken = until_shot(loop.step, log)

    def counted(*words: Any) -> Any:
        ticks[0] += 1
        return taken(*words)

    loop.step = counted
    worker.time = SimpleNamespace(monotonic=lambda: ticks[0], time=time.time, perf_counter=time.perf_counter)
    worker.train_cells(config)


def noted(take: Take, log: Path) -> Take:
    """A slow step that writes its number and its faces to the log, and on which node it was made."""
    import ray
    import ray.train

    rank = ray.train.get_context().get_world_rank()
    node = ray.util.get_node_ip_address()

    def stepped(module: nn.Module, method: nn.Module, batch: Any, phase: Any, number: int, *rest: Any) -> Any:
        seen = take(module, method, batch, phase, number, *rest)
        line = {"rank": rank, "node": node, "step": number, "keys": batch.keys}
        with log.open("a") as file:
            file.write(f"{json.dumps(line)}\n")
        if not log.with_suffix(".quick").exists():
            time.sleep(0.3)  # for the test to shoot at the node
        return seen

    return stepped


def noted_worker(config: dict[str, Any], log: Path) -> None:
    """train_cells with steps that are written down, and a checkpoint after every other one."""
    from mien.cluster import worker
    from mien.training import loop

    loop.step, worker.STEPS_A_LOOK = noted(loop.step, log), 2
    worker.train_cells(config)


def still_worker(config: dict[str, Any], log: Path) -> None:
    """train_cells with batch-norm held and plain descent."""
    from mien.cluster import worker
    from mien.methods.resnet18 import ResNet18
    from mien.training import loop

    loop.step, ResNet18.optimizer = still(loop.step), plain_descent
    worker.train_cells(config)


def main(how: str, log: str, *words: str) -> None:
    prepare_environment()
    os.environ["RAY_AUTH_MODE"] = "token"
    from mien.cluster import groups

    disturbed = {"shot": shot_worker, "noted": noted_worker, "still": still_worker}[how]
    groups.train_cells = lambda config: disturbed(config, Path(log))
    stage = str(REPOSITORY / "pipeline" / "train.py")
    sys.argv = [stage, *words]
    runpy.run_path(stage, run_name="__main__")


if __name__ == "__main__":
    main(*sys.argv[1:])
