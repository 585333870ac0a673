"""A step of Ray Train's worker against one of a bare torch loop: `ray_step.py [--workers N] [--json FILE]`.

Same method, same batches, same number of threads; with several workers both sides use DDP over gloo. On Ray's
side stands all that mien puts round a step: `fit`, its checks and callbacks, and reports with checkpoints.
Both stay up and take turns, so that a busy machine slows both; the figure is the median round. Seconds of CPU
stand beside those of the clock: on a machine with other work they are the ones to go by.
"""

import argparse
import json
import multiprocessing as mp
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from mien import methods
from mien.cluster.session import connect
from mien.config import parse_section
from mien.config.train import Cluster
from mien.methods.contract import Method
from mien.shards.batch import Batch
from mien.training.loop import Options, fit

EPOCHS, STEPS_AN_EPOCH, BATCH, SIDE_PX, ROUNDS, WARM_STEPS = 4, 50, 16, 32, 3, 5
CLASSES = ("neutral", "happy", "sad")
SETTINGS = {"input_px": SIDE_PX, "batch_size": BATCH, "epochs": EPOCHS, "keep": "last"}
PATIENCE_S = 600

Step = tuple[float, float]
"""Seconds of the clock, and of this process's CPU, all its threads together."""


class Faces:
    """Noise that lies in memory, handed out in the same batches to both sides."""

    labels = len(CLASSES)

    def __init__(self, batches: int) -> None:
        random = torch.Generator().manual_seed(0)
        self._pixels = torch.randint(0, 256, (batches * BATCH, 3, SIDE_PX, SIDE_PX), generator=random).byte()

    def __len__(self) -> int:
        return len(self._pixels)

    def batches(
        self, batch_size: int, seed: int, epoch: int, rank: int = 0, world: int = 1, start: int = 0
    ) -> Iterator[Batch]:
        own = batch_size // world
        for step in range(start, len(self) // batch_size):
            first = step * batch_size + rank * own
            yield self._batch(range(first, first + own), batch_size)

    def in_order(self, batch_size: int, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        yield self._batch(range(rank, BATCH, world), BATCH)

    def _batch(self, rows: range, total: int) -> Batch:
        number = torch.tensor(rows)
        keys = tuple(map(str, rows))
        return Batch(
            keys, self._pixels[rows[0] : rows[-1] + 1 : rows.step], number % self.labels, number, total=total
        )


def method() -> Method:
    torch.manual_seed(0)
    config = parse_section(methods.method_class("resnet18").Config, SETTINGS, "bench", "settings")
    return methods.build("resnet18", config, CLASSES)


def clocks() -> Step:
    return time.perf_counter(), time.process_time()


def since(before: Step) -> Step:
    now = clocks()
    return now[0] - before[0], now[1] - before[1]


def bare(faces: Faces, rank: int, world: int) -> list[Step]:
    """The loop that one would write by hand; seconds of each step."""
    model = method()
    (phase,) = model.phases()
    model.start(phase, faces.labels)
    moved: torch.nn.Module = DistributedDataParallel(model) if world > 1 else model
    optimizer = model.optimizer(phase, "all")
    model.train()
    seconds: list[Step] = []
    for epoch in range(EPOCHS):
        before = clocks()
        for batch in faces.batches(BATCH, 0, epoch, rank, world):
            optimizer.zero_grad()
            loss = torch.stack(list(moved(batch, phase, "all").values())).sum()
            loss.backward()
            optimizer.step()
            loss.item()
            seconds.append(since(before))
            before = clocks()
    return seconds


def through_ray(faces: Faces) -> list[Step]:
    """mien's loop inside a Ray Train worker; seconds of each step, without the pause between epochs."""
    import ray.train
    import ray.train.torch

    from mien.training.state import write_state

    seconds: list[Step] = []
    last = [clocks()]

    def after_step(number: int, state_of: object) -> None:
        seconds.append(since(last[0]))
        last[0] = clocks()

    def after_epoch(end: object, state_of: object) -> None:
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = None
            if ray.train.get_context().get_world_rank() == 0:
                write_state(state_of(), Path(folder) / "state.pt")
                checkpoint = ray.train.Checkpoint.from_directory(folder)
            ray.train.report({"epoch": end.epoch}, checkpoint=checkpoint)
        last[0] = clocks()

    wrap = (
        ray.train.torch.prepare_model if dist.is_initialized() and dist.get_world_size() > 1 else lambda m: m
    )
    fit(method(), lambda phase, part: faces, Options(), wrap, None, after_epoch, after_step)
    return seconds


def take_turns(side: str, folder: Path, rank: int, run: object) -> None:
    """Wait for each round's token, run, and write the steps' seconds."""
    torch.set_num_threads(1)
    faces = Faces(STEPS_AN_EPOCH)
    for number in range(ROUNDS):
        while not (folder / f"go-{side}-{number}").exists():
            time.sleep(0.02)
        seconds = run(faces)
        if rank == 0:
            scratch = folder / f".{side}-{number}"
            scratch.write_text(json.dumps(seconds))
            scratch.rename(folder / f"{side}-{number}.json")


def bare_process(folder: Path, rank: int, world: int) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    if world > 1:
        dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=world)
    take_turns("bare", folder, rank, lambda faces: bare(faces, rank, world))


def ray_process(told: dict[str, str]) -> None:
    import ray.train

    take_turns("ray", Path(told["folder"]), ray.train.get_context().get_world_rank(), through_ray)


def rounds(folder: Path) -> dict[str, list[list[Step]]]:
    """Give each side its turn, in changing order, and collect what they measured."""
    found: dict[str, list[list[Step]]] = {"bare": [], "ray": []}
    for number in range(ROUNDS):
        for side in ("bare", "ray") if number % 2 == 0 else ("ray", "bare"):
            (folder / f"go-{side}-{number}").touch()
            until, result = time.monotonic() + PATIENCE_S, folder / f"{side}-{number}.json"
            while not result.exists():
                if time.monotonic() > until:
                    raise TimeoutError(f"{side} did not end round {number} in {PATIENCE_S} s")
                time.sleep(0.05)
            found[side].append(json.loads(result.read_text()))
    return found


def measure(workers: int, folder: Path) -> dict[str, list[list[Step]]]:
    context = mp.get_context("spawn")
    plain = [
        context.Process(target=bare_process, args=(folder, rank, workers), daemon=True)
        for rank in range(workers)
    ]
    for process in plain:
        process.start()
    with connect(Cluster()):
        from concurrent.futures import ThreadPoolExecutor

        from ray.train.torch import TorchConfig, TorchTrainer
        from ray.train.v2.api.config import LoggingConfig, RunConfig, ScalingConfig

        trainer = TorchTrainer(
            ray_process,
            train_loop_config={"folder": str(folder)},
            torch_config=TorchConfig(backend="gloo"),
            scaling_config=ScalingConfig(num_workers=workers, resources_per_worker={"CPU": 1}),
            run_config=RunConfig(
                name="bench",
                storage_path=str(folder / "ray"),
                logging_config=LoggingConfig(log_level="ERROR"),
            ),
        )
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(trainer.fit)
            found = rounds(folder)
            running.result()
    for process in plain:
        process.join()
    return found


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--workers", type=int, default=1)
    arguments.add_argument("--json", type=Path)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        found = measure(given.workers, Path(name))
    print(
        "| what | median step in ms, a round of 200 steps each | ratio (aim: at most 1.05) |\n|---|---|---|"
    )
    described: dict[str, object] = {"workers": given.workers, "steps": EPOCHS * STEPS_AN_EPOCH}
    for at, clock in enumerate(("wall", "cpu")):
        medians = {
            side: [1000 * statistics.median(step[at] for step in turn[WARM_STEPS:]) for turn in turns]
            for side, turns in found.items()
        }
        ratio = statistics.median(r / b for r, b in zip(medians["ray"], medians["bare"], strict=True))
        described |= {f"{clock}_ratio": ratio, f"{clock}_ms": medians}
        for side, name in (("bare", "bare torch loop"), ("ray", "mien in Ray Train")):
            shown, against = (
                ", ".join(f"{value:.1f}" for value in medians[side]),
                ratio if side == "ray" else 1,
            )
            print(f"| {name}, {given.workers} worker(s), {clock} | {shown} | {against:.3f} |")
    if given.json:
        given.json.write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
