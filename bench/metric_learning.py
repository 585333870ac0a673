"""What radial metric learning costs beside its rivals, and what it brings: IDFERM's Table 2, made measurable.

    python bench/metric_learning.py [--steps 20] [--threads 1]

Reads what `mien repro` has left of the experiments of `study` in this checkout (runs/ and results/): all
losses were trained on the same folds and see the same faces. Times of epochs are the trainings' own, which
ran side by side. The share of a step that goes into distances and hinge is measured here on the features of
real batches, by each fold's trained network: loss and its gradient back to the features, beside the whole
step. Accuracy is that of the test people, and each rival is set beside IDFERM by flipping the signs of
people's gains.
"""

import argparse
from contextlib import nullcontext
from pathlib import Path
from statistics import mean
from time import perf_counter
from typing import Any

import torch

from mien import methods
from mien.config import Params, load_params
from mien.config.train import Cell
from mien.evaluation.compared import Side, compare
from mien.evaluation.identity.costs import costs
from mien.evaluation.identity.paper import TABLES
from mien.evaluation.outcomes import Outcome, read_outcomes
from mien.evaluation.predictions import PREDICTIONS_FILE, read_predictions
from mien.methods.contract import Phase
from mien.shards.batch import Batch
from mien.shards.folds import split_cell
from mien.shards.index import Index, read_index
from mien.training.cell import part_readers
from mien.training.step import step

ROOT = Path(__file__).resolve().parent.parent
SHARDS, RUNS, RESULTS = ROOT / "data" / "shards", ROOT / "runs", ROOT / "results"
FIRST = "idferm"
RIVALS = (FIRST, "softmax", "triplet", "contrastive", "n-pairs", "coupled-clusters", "nm-tuplet", "center")
PRINTED = {"idferm": "IDFERM", "triplet": "triplet", "nm-tuplet": "2B(N+M)"}  # in the paper's Table 2
HEADER = (
    "loss", "folds", "mean accuracy of new people, %", "less IDFERM's: points (95 %), p over people",
    "distances a batch", "faces an update", "ms a step", "of it distances and hinge, %", "s an epoch",
    "epochs to 95 %", "s to 95 %", "s a fold in all",
)  # fmt: skip


def measured(outcome: Outcome, params: Params, index: Index, steps: int) -> dict[str, float]:
    """Means over an experiment's cells of what `shares` finds with their networks."""
    found = []
    for entry in outcome.run["cells"]:
        cell = Cell(entry["fold"], entry["seed"])
        split = split_cell(index, cell, outcome.entry.validation_share, params.shard.seed)
        method = methods.load(RUNS / outcome.name / "cells" / cell.name)[0].train()
        phase = method.phases()[-1]
        reader = part_readers(method, index, split, SHARDS, threads=1)(phase, "train")
        batches = reader.batches(phase.batch_size, 0, 0)
        found.append(shares(method, phase, [batch for batch, _ in zip(batches, range(steps), strict=False)]))
    return {key: mean(cell[key] for cell in found) for key in found[0]}


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


def row(outcome: Outcome, first: Outcome, params: Params, index: Index, steps: int) -> list[str]:
    """A loss of the table."""
    spent, own = costs(outcome, index, params), measured(outcome, params, index, steps)
    paper = {line[0]: line[1:] for line in TABLES[0].rows}
    return [
        outcome.name,
        str(len(outcome.run["cells"])),
        *accuracy(outcome, first, params, index),
        f"{own['distances']:.0f}",
        f"{own['passes']:.0f}",
        f"{own['step_ms']:.1f}",
        f"{100 * own['distance_share']:.1f}",
        f"{spent.epoch_s:.1f}",
        f"{spent.epochs:.1f}",
        f"{spent.reach_s:.0f}",
        f"{outcome.run['seconds'] / len(outcome.run['cells']):.0f}",
        *paper.get(PRINTED.get(outcome.name, ""), ("–",) * len(TABLES[0].header[1:])),
    ]


def accuracy(outcome: Outcome, first: Outcome, params: Params, index: Index) -> tuple[str, str]:
    """Mean accuracy over folds, and what it has more than IDFERM on the folds that both have."""
    found = compare(_side(first, index), _side(outcome, index), index, params.evaluate)
    own = f"{100 * found.figures['mean_accuracy'][1].mean:.1f}"
    if outcome is first:
        return own, "–"
    gain = found.differences["mean_accuracy"]
    bounds = (f"{100 * value:+.1f}" for value in (gain.mean, gain.low, gain.high))
    return own, "{} ({} to {}), {:.3f}".format(*bounds, found.p_value)


def _side(outcome: Outcome, index: Index) -> Side:
    told = read_predictions(RUNS / outcome.name / PREDICTIONS_FILE, len(index.classes))
    return Side(outcome.name, outcome.entry.method, index.about.corpus, index.digest, told)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20, help="of which a step's time is measured")
    parser.add_argument("--threads", type=int, default=1)
    o = parser.parse_args()
    torch.set_num_threads(o.threads)
    params = load_params(ROOT / "params.yaml")
    there = [name for name in RIVALS if name in params.experiments and (RESULTS / name).is_dir()]
    if FIRST not in there:
        raise SystemExit(f"{RESULTS} has no {FIRST}; `mien preset study` and `mien repro` make it.")
    index = read_index(SHARDS / params.experiments[FIRST].corpus)
    asked = params.model_copy(update={"experiments": {name: params.experiments[name] for name in there}})
    outcomes = read_outcomes(asked, RESULTS, RUNS, {index.folder.name: index})
    header = [*HEADER, *(f"paper: {name}" for name in TABLES[0].header[1:])]
    print(f"| {' | '.join(header)} |\n{'|---' * len(header)}|")
    for outcome in outcomes:
        print(f"| {' | '.join(row(outcome, outcomes[0], params, index, o.steps))} |", flush=True)


if __name__ == "__main__":
    main()
