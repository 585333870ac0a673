"""What radial metric learning costs beside its rivals: IDFERM's Table 2, made measurable.

    python bench/metric_learning.py [--shards data/shards/rendered] [--fold 0] [--epochs 8] [--only NAME ...]
                                    [--threads 2] [--json FILE]

Each method of the `study` preset is trained for the same epochs on the same fold, one after another, in
one process; IDFERM's judges and generator are trained first; their time stands in a column of its own. The
share of a step that goes into distances and hinge is measured on the features of real batches: loss and its
gradient back to the features, beside the whole step.
"""

import argparse
import json
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from mien import methods
from mien.config import load_params, parse_section
from mien.methods.contract import Method, Phase
from mien.parts.metric_learning import FINE_TUNING
from mien.shards.batch import Batch
from mien.shards.folds import split_fold
from mien.shards.index import Index, read_index
from mien.training.cell import part_readers
from mien.training.loop import EpochEnd, Options, fit
from mien.training.step import step

ROOT = Path(__file__).resolve().parent.parent
RIVALS = ("idferm", "softmax", "triplet", "contrastive", "n_pairs", "coupled_clusters", "nm_tuplet", "center")
PAPER = {"idferm": "42 min", "triplet": "5 h 24", "nm_tuplet": "1 h 47"}  # Table 2, CK+ with 7 classes
REACHED, STEPS = 0.95, 20


def build(name: str, params: Any, index: Index, epochs: int) -> Method:
    """A fresh method at the settings of the preset; `softmax` is IDFERM without its metric."""
    method = "idferm" if name == "softmax" else name
    changed = {"metric_weight": 0.0} if name == "softmax" else {}
    given = {**params.methods[method], "epochs": epochs, **changed}
    config = parse_section(methods.method_class(method).Config, given, "study.yaml", f"methods.{method}")
    torch.manual_seed(0)
    return methods.build(method, config, index.classes)


def train(method: Method, index: Index, fold: int, params: Any, shards: Path) -> dict[str, Any]:
    """Fine-tuning's time and accuracy by epoch, and the time of what came before it."""
    split = split_fold(index, fold, 0.15, params.shard.seed)
    readers = part_readers(method, index, split, shards, threads=1, keep_mb=params.train.keep_faces_mb)
    seconds: list[float] = []
    accuracy: list[float] = []
    before = 0.0

    def note(end: EpochEnd, state: object) -> None:
        nonlocal before
        spent = len(split.train) / end.values["faces_per_second"]
        if end.phase == FINE_TUNING:
            seconds.append(spent)
            accuracy.append(end.values["validation_accuracy"])
        else:
            before += spent

    fit(method, readers, Options(), after_epoch=note)
    first = next(i for i, value in enumerate(accuracy) if value >= REACHED * max(accuracy))
    phase = method.phases()[-1]
    batches = readers(phase, "train").batches(phase.batch_size, 0, 0)
    return {
        "seconds_an_epoch": sum(seconds) / len(seconds),
        "seconds_to_95": sum(seconds[: first + 1]),
        "epochs_to_95": first + 1,
        "best_accuracy": max(accuracy),
        "seconds_before": before,
        **shares(method.train(), phase, [batch for batch, _ in zip(batches, range(STEPS), strict=False)]),
    }


def shares(method: Any, phase: Phase, batches: list[Batch]) -> dict[str, Any]:
    """Distances and faces of an update, and the share of a step that distances and hinge take."""
    for parameter in method.parameters():
        parameter.requires_grad_(False)
    for parameter in method.moved_by(phase, "all"):
        parameter.requires_grad_(True)
    method.refresh(lambda: iter(batches), phase, 0)
    optimizer, loss_s = {"all": method.optimizer(phase, "all")}, [0.0]
    whole, plain = method.metric_loss, perf_counter

    def timed(features: torch.Tensor, label: torch.Tensor, batch: Batch) -> torch.Tensor:
        """The same loss and its gradient once more, on features that are cut off, under the clock."""
        cut = features.detach().requires_grad_()
        begun = plain()
        whole(cut, label, batch).backward()
        loss_s[0] += plain() - begun
        method.evaluations = 0
        return whole(features, label, batch)

    def run() -> float:
        begun = plain()
        for number, batch in enumerate(batches):
            step(method, method, batch, phase, number, optimizer, nullcontext())
        return plain() - begun

    run()
    step_s = run()
    told = {"distances": method.evaluations, "passes": method.passes, "step_ms": 1000 * step_s / len(batches)}
    method.metric_loss = timed
    run()
    return told | {"distance_share": loss_s[0] / step_s}


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The report as markdown."""
    lines = [
        "| loss | distances a batch | faces an update | ms a step | of it distances and hinge, % | "
        "s an epoch | epochs to 95 % | s to 95 % | s before | best validation accuracy, % | paper, CK+ 7 |",
        "|---|" + "---|" * 10,
    ]
    for name, row in found.items():
        cells = (
            str(row["distances"]),
            str(row["passes"]),
            f"{row['step_ms']:.1f}",
            f"{100 * row['distance_share']:.1f}",
            f"{row['seconds_an_epoch']:.1f}",
            str(row["epochs_to_95"]),
            f"{row['seconds_to_95']:.0f}",
            f"{row['seconds_before']:.0f}",
            f"{100 * row['best_accuracy']:.1f}",
            PAPER.get(name, "–"),
        )
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print a table, and write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shards", type=Path, default=ROOT / "data" / "shards" / "rendered")
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--only", nargs="+", choices=RIVALS, default=list(RIVALS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    o = parser.parse_args()
    torch.set_num_threads(o.threads)
    params, index = load_params(ROOT / "presets" / "study.yaml"), read_index(o.shards)
    found = {}
    for name in o.only:
        method = build(name, params, index, o.epochs)
        found[name] = train(method, index, o.fold, params, o.shards.parent)
        print(name, found[name], flush=True)
    print(table(found))
    if o.json:
        o.json.write_text(
            json.dumps({"epochs": o.epochs, "methods": found}, indent=2) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
