"""Two machines against one: `python -m bench.nodes [--json FILE]`, HSNet on Ray nodes on loopback.

The same two ranks train on two nodes, a worker each, and on one node. Steps with and without DDP's
synchronisation take turns in blocks, so that a busy machine slows both: what they differ by is the share of a
step that goes into telling each other gradients, waiting for the slower one included.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import torch
from infra.local.processes import Processes
from infra.local.ray_nodes import start_ray

from mien import methods
from mien.config import parse_section
from mien.shards.batch import Batch

ROUNDS, BLOCK, WARM_STEPS, BATCH, SIDE_PX = 10, 4, 4, 16, 75
CLASSES = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger")
SETTINGS = {"width": 0.25, "blocks": [1, 1, 1], "input_px": SIDE_PX, "batch_size": 2 * BATCH, "ktl": False}


def batch(rank: int, step: int) -> Batch:
    random = torch.Generator().manual_seed(1000 * rank + step)
    faces = torch.randint(0, 256, (BATCH, 3, SIDE_PX, SIDE_PX), generator=random).byte()
    label, seed = torch.arange(BATCH) % len(CLASSES), torch.arange(BATCH)
    points = SIDE_PX * torch.rand((BATCH, 68, 2), generator=random)
    keys = tuple(f"{rank}-{step}-{n}" for n in range(BATCH))
    return Batch(keys, faces, label, seed, points=points, total=2 * BATCH)


def blocks(told: dict[str, str]) -> None:
    """In a worker: seconds of each block's steps, synchronised and not, in turns."""
    import ray.train
    import ray.train.torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    rank = ray.train.get_context().get_world_rank()
    config = parse_section(methods.method_class("hsnet").Config, SETTINGS, "bench", "settings")
    method = methods.build("hsnet", config, CLASSES)
    phase = method.phases()[-1]
    method.start(phase, len(CLASSES))
    module = ray.train.torch.prepare_model(method)
    (turn,) = method.turns(phase, 0)
    optimizer = method.optimizer(phase, turn)
    module.train()
    data = [batch(rank, step) for step in range(4)]

    def steps(number: int) -> None:
        for step in range(number):
            optimizer.zero_grad()
            torch.stack(list(module(data[step % 4], phase, turn).values())).sum().backward()
            optimizer.step()

    steps(WARM_STEPS)
    found: dict[str, list[float]] = {"told": [], "alone": []}
    for number in range(ROUNDS):
        for kind in ("told", "alone") if number % 2 == 0 else ("alone", "told"):
            torch.distributed.barrier()
            begun = time.perf_counter()
            with module.no_sync() if kind == "alone" else nullcontext():
                steps(BLOCK)
            found[kind].append((time.perf_counter() - begun) / BLOCK)
    parameters = sum(p.numel() for p in method.parameters() if p.requires_grad)
    node = ray.get_runtime_context().get_node_id()
    Path(told["folder"], f"{rank}.json").write_text(
        json.dumps({**found, "parameters": parameters, "node": node})
    )
    ray.train.report({})


def measure(address: str, folder: Path, cpus: float) -> list[dict[str, object]]:
    """What both ranks found, each of which asked for this many CPUs."""
    import ray
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.train.v2.api.config import LoggingConfig, RunConfig, ScalingConfig

    folder.mkdir()
    ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    try:
        TorchTrainer(
            blocks,
            train_loop_config={"folder": str(folder)},
            torch_config=TorchConfig(backend="gloo"),
            scaling_config=ScalingConfig(num_workers=2, resources_per_worker={"CPU": cpus}),
            run_config=RunConfig(
                name="nodes",
                storage_path=str(folder / "ray"),
                logging_config=LoggingConfig(log_level="ERROR"),
            ),
        ).fit()
    finally:
        ray.shutdown()
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--json", type=Path)
    given = arguments.parse_args()
    described: dict[str, object] = {}
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="nodes-") as name:
        processes = Processes(Path(name))
        try:
            environment = start_ray(processes, {})
            os.environ.update(environment)
            # one CPU a node: workers of a whole CPU must part, those of half a CPU are packed together
            for what, cpus in (("two nodes", 1.0), ("one node", 0.5)):
                ranks = measure(environment["MIEN_RAY_ADDRESS"], Path(name) / what.replace(" ", "-"), cpus)
                described[what] = shares(ranks)
        finally:
            processes.end()
    print("| two workers on | step in ms, gradients told / not | share of a step |\n|---|---|---|")
    for what, found in described.items():
        told, alone = f"{found['told']:.0f}", f"{found['alone']:.0f}"
        print(f"| {what} ({found['nodes']}) | {told} / {alone} | {found['share']:.1%} |")
    if given.json:
        given.json.write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")


def shares(ranks: list[dict[str, object]]) -> dict[str, float]:
    """Medians over blocks of the first rank, and the median share."""
    told, alone = ranks[0]["told"], ranks[0]["alone"]
    return {
        "nodes": len({rank["node"] for rank in ranks}),
        "parameters": ranks[0]["parameters"],
        "told": 1000 * statistics.median(told),
        "alone": 1000 * statistics.median(alone),
        "share": statistics.median(1 - b / a for a, b in zip(told, alone, strict=True)),
    }


if __name__ == "__main__":
    main()
