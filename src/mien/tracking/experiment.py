"""From a plan and its finished cells to what MLflow is told."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from mien.evaluation.metrics import count, rates
from mien.evaluation.predictions import VALIDATION, Predictions, read_predictions
from mien.tracking.identity import DataSet, Facts
from mien.tracking.server import connect
from mien.tracking.tracker import FinishedCell, Tracker
from mien.training.kept import CURVES, PREDICTIONS, KeptCell, protocol
from mien.training.plan import Plan


def track(plan: Plan, root: Path) -> Tracker:
    """A tracker for a plan, its run ids in the plan's storage. `root` is the repository."""
    return Tracker(connect(root), facts(plan, root), plan.store)


def facts(plan: Plan, root: Path) -> Facts:
    """What a plan's runs are told at their start."""
    entry, index = plan.params.experiments[plan.experiment], plan.index
    expressions, number = np.unique([e or "none" for e in index.expression.tolist()], return_counts=True)
    people = len({s for s in index.subject.tolist() if s is not None})
    profile: dict[str, Any] = {"faces": len(index), "people": people}
    source = index.origin.address if index.origin else str(plan.shards / entry.corpus)
    profile |= {str(name): int(n) for name, n in zip(expressions, number, strict=True)}
    return Facts(
        experiment=plan.experiment,
        method=plan.method,
        corpus=entry.corpus,
        protocol=protocol(plan),
        config=plan.params.model_dump(mode="json"),
        settings={
            "method": plan.settings.model_dump(mode="json"),
            "train": plan.params.train.model_dump(mode="json"),
        },
        dataset=DataSet(entry.corpus, index.digest, source, profile),
        cells=plan.cells,
        root=root,
    )


def finished(plan: Plan, kept: Iterable[KeptCell]) -> list[FinishedCell]:
    """Finished cells as a tracker takes them, with the validation figures of their final weights.

    A one-class cell's validation part has normal faces only, so that there is no figure of it but the loss.
    """
    return [
        FinishedCell(
            cell.cell,
            cell.curves(),
            files=(cell.folder / CURVES, cell.folder / PREDICTIONS),
            summary={}
            if plan.scores
            else validation_figures(cell.folder / PREDICTIONS, len(plan.index.classes)),
            tags={f"record.{key}": str(value) for key, value in cell.about["record"].items()},
        )
        for cell in kept
    ]


def validation_figures(predictions: Path, classes: int) -> dict[str, float]:
    """Accuracy and mean accuracy (over classes) of the final weights on a cell's validation part."""
    return figures_of(read_predictions(predictions, classes).of_part(VALIDATION), classes)


def figures_of(held_out: Predictions, classes: int) -> dict[str, float]:
    """The same of validation predictions in hand; empty when none of them has a label."""
    held_out = held_out.only(held_out.label >= 0)
    if not len(held_out):
        return {}
    figures = rates(count(held_out.label, held_out.predicted, classes))
    return {
        "validation_accuracy": float(figures.accuracy),
        "validation_mean_accuracy": float(figures.mean_accuracy),
    }
