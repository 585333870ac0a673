"""Every method as PyTorch, ONNX and TorchScript: sizes, agreement, and faces a second one by one and in 32s.

    python bench/export.py [--shards data/shards/rendered] [--preset demo] [--threads 2] [--only NAME ...]
                           [--json FILE]

Each method has its settings of the preset and takes a few steps on real crops, so that its statistics and
support vectors are of faces; how well it was trained changes neither size nor rate. A file that disagrees
with PyTorch on 200 faces is not measured but reported. Rates count from aligned crops to answers, the best
of five rounds.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from time import perf_counter, process_time

import torch

from mien import methods
from mien.cli.export import faces_to_check
from mien.config import MienError, load_params, parse_section
from mien.evaluation.export import export
from mien.evaluation.exported import FILES, load_exported
from mien.methods.contract import Method
from mien.shards.batch import Batch
from mien.training.step import step

CLASSES = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger")
NEEDS = ("faces", "points", "subject", "true_label", "clean")
STEPS, FACES_A_STEP = 3, 28
ROUNDS, ROUND_S = 5, 0.15  # CPU-seconds
BATCHES = (1, 32)
NONE = (float("nan"),) * 2


def started(name: str, settings: dict, faces: Batch) -> Method:
    """A method of the preset's settings that has taken a few steps in each of its phases."""
    kind = methods.method_class(name)
    torch.manual_seed(0)
    method = methods.build(name, parse_section(kind.Config, settings, "preset", name), classes_of(name))
    if kind.scores:
        faces = replace(faces, label=torch.zeros_like(faces.label))
    for phase in method.phases():
        seen = replace(faces, label=faces.subject) if phase.label == "subject" else faces
        method.start(phase, int(seen.label.max()) + 1)
        with torch.no_grad():
            method.eval().refresh(lambda seen=seen: [seen], phase, 0)
            if phase.fits:
                method.fit([seen], phase)
        if not phase.fits:
            some = seen.select(range(FACES_A_STEP))
            optimizers = {turn: method.optimizer(phase, turn) for turn in method.turns(phase, 0)}
            for number in range(STEPS):
                step(method.train(), method, some, phase, number, optimizers, nullcontext())
        method.finish(phase)
    return method.eval()


def classes_of(name: str) -> tuple[str, ...]:
    """A one-class method knows one."""
    return CLASSES[:1] if methods.method_class(name).scores else CLASSES


Predict = Callable[[Batch], torch.Tensor]


def rates(ways: dict[str, Predict], faces: Batch, size: int) -> dict[str, tuple[float, float]]:
    """Faces a second, and a CPU-second over all threads, in batches of a size.

    The ways take turns, so that a busy moment hits them all.
    """
    part, best = faces.select(range(size)), dict.fromkeys(ways, (0.0, 0.0))
    with torch.no_grad():
        for predict in ways.values():
            for _ in range(3):  # TorchScript settles at the second or third call
                predict(part)
        for _ in range(ROUNDS):
            for name, predict in ways.items():
                begun, cpu, done = perf_counter(), process_time(), 0
                while (spent := process_time() - cpu) < ROUND_S:
                    predict(part)
                    done += size
                seen = (done / (perf_counter() - begun), done / spent)
                best[name] = (max(best[name][0], seen[0]), max(best[name][1], seen[1]))
    return best


def measure(name: str, settings: dict, faces: Batch, described: dict) -> dict:
    """A row: sizes in bytes, differences, seconds of exporting, and rates by batch."""
    with tempfile.TemporaryDirectory(prefix="mien-bench-") as scratch:
        methods.save(started(name, settings, faces), name, Path(scratch), described)
        model, told = methods.load(Path(scratch))
        ways: dict[str, Predict] = {"pytorch": model.predict}
        row: dict = {"bytes": {"pytorch": (Path(scratch) / methods.WEIGHTS).stat().st_size}}
        row |= {"difference": {}, "seconds": {}}
        for form, file in FILES.items():
            begun = perf_counter()
            try:
                check = export(model, told, faces, form, Path(scratch), {})["check"]
            except MienError as error:
                row["difference"][form] = str(error)
                continue
            row["seconds"][form] = perf_counter() - begun
            row["difference"][form] = check["largest_difference"]
            row["bytes"][form] = (Path(scratch) / file).stat().st_size
            ways[form] = load_exported(Path(scratch) / file)[0].predict
        row["rates"] = {str(size): rates(ways, faces, size) for size in BATCHES}
    return row


def main() -> None:
    """Measure, print a table, and write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shards", type=Path, default=Path("data/shards/rendered"))
    parser.add_argument("--preset", default="demo")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--json", type=Path)
    o = parser.parse_args()
    torch.set_num_threads(o.threads)
    params = load_params(Path("presets") / f"{o.preset}.yaml")
    align = {"align": params.align.model_dump(mode="json"), "corpus": o.shards.name, "classes": CLASSES}
    faces, _ = faces_to_check(o.shards.absolute().parents[2], align, NEEDS)
    rows = {}
    for name in o.only or methods.names():
        rows[name] = measure(name, params.methods[name], faces, {"align": align["align"]})
        print(line(name, rows[name]), flush=True)
    print("\n".join(["", *head(o.threads), *(line(name, row) for name, row in rows.items())]))
    if o.json:
        o.json.write_text(json.dumps({"threads": o.threads, "rows": rows}, indent=2) + "\n", encoding="utf-8")


def head(threads: int) -> list[str]:
    """Of the table."""
    return [
        f"| threads: {threads}; PyTorch / ONNX Runtime / TorchScript | kB | largest difference "
        "| faces a second one by one | in batches of 32 | a CPU-second one by one | in batches of 32 |",
        "|---|---|---|---|---|---|---|",
    ]


def line(name: str, row: dict) -> str:
    """A row as markdown."""
    forms = ("pytorch", *FILES)
    sizes = " / ".join(f"{row['bytes'][form] / 1000:,.0f}" if form in row["bytes"] else "-" for form in forms)
    far = " / ".join(d if isinstance(d, str) else f"{d:.0e}" for d in row["difference"].values())
    told = [
        " / ".join(f"{row['rates'][str(size)].get(form, NONE)[clock]:,.0f}" for form in forms)
        for clock in (0, 1)
        for size in BATCHES
    ]
    return " | ".join([f"| {name}", sizes, far, *told]) + " |"


if __name__ == "__main__":
    main()
