"""One HS-OCFER training step at the paper's size beside its plain auto-encoder: time, memory, scoring rate.

    python bench/one_class_step.py [--batch 8] [--steps 3] [--score 32] [--threads 2] [--json FILE]

Random faces of 224 px. Each network has a process to itself, so that its peak memory is its own; what Python
and torch take before the network is built is told beside it. Times are the best of `--steps`; CPU-seconds,
over all threads, say more where other work runs.
"""

import argparse
import json
import multiprocessing
import resource
from contextlib import nullcontext
from pathlib import Path
from time import perf_counter, process_time

import torch

from mien.methods.hs_ocfer import HSOCFER, HSOCFERConfig
from mien.shards.batch import Batch
from mien.training.step import step

VARIANTS = ("plain auto-encoder", "hierarchy + spatial + compact")


def random_faces(count: int, side_px: int) -> Batch:
    """Noise with landmarks anywhere."""
    source = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, 3, side_px, side_px), dtype=torch.uint8, generator=source)
    number = torch.arange(count)
    points = side_px * torch.rand((count, 68, 2), generator=source)
    keys = tuple(f"face-{i}" for i in range(count))
    return Batch(keys, pixels, torch.zeros_like(number), number, points=points, total=count)


def peak_mib() -> float:
    """Of this process so far; Linux counts in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(variant: str, batch: int, steps: int, score: int, threads: int) -> dict[str, float]:
    """Seconds of a step, its peak memory, and faces scored a second, of a fresh network."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    before = peak_mib()
    method = HSOCFER(HSOCFERConfig(**HSOCFER.variants[variant]), ("normal",))
    phase = next(phase for phase in method.phases() if not phase.fits)
    optimizers = {"all": method.optimizer(phase, "all")}
    faces, seconds, spent = random_faces(batch, method.input_px), [], []
    for number in range(steps + 1):  # the first warms up
        begun, cpu = perf_counter(), process_time()
        step(method.train(), method, faces, phase, number, optimizers, nullcontext())
        seconds.append(perf_counter() - begun)
        spent.append(process_time() - cpu)
    peak, method = peak_mib(), method.eval()
    scored, rates = random_faces(score, method.input_px), []
    with torch.no_grad():
        for _ in range(steps + 1):
            begun = perf_counter()
            method.predict(scored)
            rates.append(score / (perf_counter() - begun))
    return {
        "parameters": sum(parameter.numel() for parameter in method.parameters()),
        "step_s": round(min(seconds[1:]), 3),
        "step_cpu_s": round(min(spent[1:]), 3),
        "peak_mib": round(peak),
        "before_mib": round(before),
        "scored_per_second": round(max(rates[1:]), 1),
    }


def main() -> None:
    """Measure, print a table, and write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--score", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    o = parser.parse_args()
    rows = {}
    for variant in VARIANTS:
        with multiprocessing.get_context("spawn").Pool(1) as alone:
            rows[variant] = alone.apply(measure, (variant, o.batch, o.steps, o.score, o.threads))
    report = {"batch": o.batch, "score": o.score, "threads": o.threads, "variants": rows}
    print(table(report))
    if o.json:
        o.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def table(report: dict) -> str:
    """The report as markdown."""
    head = f"224 px, threads: {report['threads']}"
    lines = [
        f"| {head} | parameters | s a step of {report['batch']} | CPU-s | peak MiB (before) | scored/s |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in report["variants"].items():
        memory = f"{row['peak_mib']:,} ({row['before_mib']:,})"
        times = f"{row['step_s']:.2f} | {row['step_cpu_s']:.2f}"
        lines += [f"| {name} | {row['parameters']:,} | {times} | {memory} | {row['scored_per_second']:.1f} |"]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
