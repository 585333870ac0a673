"""What radial metric learning costs beside its rivals, and what it brings: IDFERM's Table 2, made measurable.

    python bench/metric_learning.py [--shards data/shards/rendered] [--folds 0 1] [--epochs 12]
                                    [--only NAME ...] [--threads 2] [--into build/metric_learning]

Each loss is trained at the settings of the `study` preset on the same folds, one after another, in one
process; all see the same faces. IDFERM's judges and generator are trained first; their time stands in a
column of its own. The share of a step that goes into distances and hinge is measured on the features of real
batches: loss and its gradient back to the features, beside the whole step. Accuracy is that of the test
people, and each rival is set beside IDFERM by flipping the signs of people's gains. What has been trained is
kept in `--into`, so that a broken-off run goes on, and the table is of all that lies there.
"""

import argparse
import json
from contextlib import nullcontext
from pathlib import Path
from statistics import mean
from time import perf_counter, process_time
from typing import Any

import pyarrow as pa
import torch

from mien import methods
from mien.config import Params, load_params
from mien.config.train import Cell
from mien.evaluation.compared import Side, compare
from mien.evaluation.identity.paper import TABLES
from mien.evaluation.predictions import PREDICTIONS, PREDICTIONS_FILE, read_predictions
from mien.manifest.tables import read_table, write_table
from mien.methods.contract import Phase
from mien.parts.metric_learning import FINE_TUNING
from mien.shards.batch import Batch
from mien.shards.folds import split_cell
from mien.shards.index import Index, read_index
from mien.training.cell import part_readers, train_cell
from mien.training.loop import EpochEnd, Options
from mien.training.step import step

ROOT = Path(__file__).resolve().parent.parent
FIRST = "idferm"
RIVALS = (FIRST, "softmax", "triplet", "contrastive", "n-pairs", "coupled-clusters", "nm-tuplet", "center")
PRINTED = {"idferm": "IDFERM", "triplet": "triplet", "nm-tuplet": "2B(N+M)"}  # in the paper's Table 2
REACHED, STEPS = 0.95, 20
CELL = "cell.json"


def settled(epochs: int | None) -> Params:
    """The `study` preset, every rival with as many epochs."""
    params = load_params(ROOT / "presets" / "study.yaml")
    for name in RIVALS:
        params = methods.with_settings(params, name, {"epochs": epochs} if epochs else {})
    return params


def train(name: str, cell: Cell, params: Params, shards: Path, into: Path) -> None:
    """Train a cell and leave its figures, its answers and its model in `into`."""
    index = read_index(shards / params.experiments[name].corpus)
    split = split_cell(index, cell, params.experiments[name].validation_share, params.shard.seed)
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

    begun = process_time()
    trained = train_cell(params, name, cell, shards, into, Options(), after_epoch=note)
    cpu_s = process_time() - begun
    write_table(trained.predictions, into / PREDICTIONS_FILE, PREDICTIONS)
    first = next(i for i, value in enumerate(accuracy) if value >= REACHED * max(accuracy))
    method = methods.load(into)[0].train()
    readers = part_readers(method, index, split, shards, threads=1)
    phase = method.phases()[-1]
    batches = readers(phase, "train").batches(phase.batch_size, 0, 0)
    figures = {
        "seconds_an_epoch": mean(seconds),
        "seconds_to_95": sum(seconds[: first + 1]),
        "epochs_to_95": first + 1,
        "best_accuracy": max(accuracy),
        "seconds_before": before,
        "cpu_seconds": cpu_s,
        **shares(method, phase, [batch for batch, _ in zip(batches, range(STEPS), strict=False)]),
    }
    (into / CELL).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


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
        loss: torch.Tensor = whole(features, label, batch)
        return loss

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


def table(into: Path, params: Params, index: Index) -> str:
    """The report as markdown, of all cells in `into`."""
    header = (
        "loss", "folds", "mean accuracy of new people, %", "less IDFERM's: points (95 %), p over people",
        "distances a batch", "faces an update", "ms a step", "of it distances and hinge, %", "s an epoch",
        "epochs to 95 %", "s to 95 %", "s before", "CPU-s a fold",
        *(f"paper: {name}" for name in TABLES[0].header[1:]),
    )  # fmt: skip
    printed = {row[0]: row[1:] for row in TABLES[0].rows}
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    for name in RIVALS:
        cells = sorted(into.glob(f"{name}/*/{CELL}"))
        if not cells:
            continue
        found = [json.loads(cell.read_text()) for cell in cells]
        own = {key: mean(cell[key] for cell in found) for key in found[0]}
        own_figures = (
            f"{own['distances']:.0f}",
            f"{own['passes']:.0f}",
            f"{own['step_ms']:.1f}",
            f"{100 * own['distance_share']:.1f}",
            f"{own['seconds_an_epoch']:.1f}",
            f"{own['epochs_to_95']:.1f}",
            f"{own['seconds_to_95']:.0f}",
            f"{own['seconds_before']:.0f}",
            f"{own['cpu_seconds']:.0f}",
        )
        beside = printed.get(PRINTED.get(name, ""), ("–",) * len(TABLES[0].header[1:]))
        told = (name, str(len(cells)), *accuracy(into, name, params, index), *own_figures, *beside)
        lines.append(f"| {' | '.join(told)} |")
    return "\n".join(lines)


def accuracy(into: Path, name: str, params: Params, index: Index) -> tuple[str, str]:
    """Mean accuracy over folds, and what it has more than IDFERM on the folds that both have."""
    sides = [_side(into, one, index) for one in dict.fromkeys((FIRST, name)) if (into / one).is_dir()]
    found = compare(sides[0], sides[-1], index, params.evaluate)
    own = f"{100 * found.figures['mean_accuracy'][1].mean:.1f}"
    if len(sides) == 1:
        return own, "–"
    gain = found.differences["mean_accuracy"]
    bounds = (f"{100 * value:+.1f}" for value in (gain.mean, gain.low, gain.high))
    return own, "{} ({} to {}), {:.3f}".format(*bounds, found.p_value)


def _side(into: Path, name: str, index: Index) -> Side:
    parts = [read_table(path, PREDICTIONS) for path in sorted((into / name).glob(f"*/{PREDICTIONS_FILE}"))]
    whole = into / name / PREDICTIONS_FILE
    write_table(pa.concat_tables(parts), whole, PREDICTIONS)
    return Side(name, name, index.about.corpus, index.digest, read_predictions(whole, len(index.classes)))


def measure(o: argparse.Namespace, params: Params) -> None:
    """Train what is still missing, fold by fold, and tell it as it comes."""
    for fold in o.folds:
        for name in o.only:
            cell = Cell(fold, 0)
            into = o.into / name / cell.name
            if not (into / CELL).is_file():
                train(name, cell, params, o.shards.parent, into)
            print(name, cell.name, (into / CELL).read_text(), flush=True)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shards", type=Path, default=ROOT / "data" / "shards" / "rendered")
    parser.add_argument("--folds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--epochs", type=int, help="of fine-tuning; left out, the preset's")
    parser.add_argument("--only", nargs="+", choices=RIVALS, default=list(RIVALS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--into", type=Path, default=ROOT / "build" / "metric_learning")
    o = parser.parse_args()
    torch.set_num_threads(o.threads)
    params = settled(o.epochs)
    measure(o, params)
    print(table(o.into, params, read_index(o.shards)))


if __name__ == "__main__":
    main()
