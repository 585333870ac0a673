"""A search: one experiment's settings, chosen by faces that none of its cells tests."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mien import methods
from mien.config import MienError, Params
from mien.config.train import Cell
from mien.config.tune import Search, Space, Value, grid, holds
from mien.evaluation.metrics import count, rates
from mien.evaluation.one_class.auc import areas
from mien.shards.index import Index, read_index
from mien.shards.label_noise import noisy_labels
from mien.shards.untested import Untested, split_untested
from mien.training.cell import answers, fit_cell
from mien.training.loop import AfterEpoch, AfterStep, Options, Wrap
from mien.training.plan import Plan, make_plan
from mien.training.state import State
from mien.training.storage import Storage

MEAN_ACCURACY, AUC = "mean accuracy", "AUC"
WATCHED = "validation_mean_accuracy"
"""What the loop reports each epoch, where several classes are learnt."""


@dataclass(frozen=True)
class SearchPlan:
    """A search, ready to be run: its space checked, its faces known."""

    plan: Plan  # of the experiment as params.yaml has it
    search: Search
    space: Space
    defaults: Mapping[str, Value]  # of the space's settings: the first trial
    cells: tuple[Cell, ...]  # that each trial trains
    rungs: tuple[int, ...]  # epochs, or cells of a one-class method, after which a trial may be stopped
    length: int  # of a trial with the default settings, in the same unit
    faces: Mapping[str, int]  # train, validation, aliens; of one-class cells the means

    @property
    def experiment(self) -> str:
        """What is tuned."""
        return self.plan.experiment

    @property
    def objective(self) -> str:
        """What is maximised, on validation faces."""
        return AUC if self.plan.scores else MEAN_ACCURACY

    @property
    def unit(self) -> str:
        """What the length of a trial is counted in."""
        return "normal classes" if self.plan.scores else "epochs"

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all that a trial's figure depends on besides its settings."""
        entry = self.plan.params.experiments[self.experiment]
        told: dict[str, Any] = {"plan": self.plan.digest, "share": self.search.validation_share}
        told |= {"cells": [list(c) for c in self.cells], "tested": [list(c) for c in self.plan.cells]}
        told |= {"method": entry.method, "space": sorted(self.space)}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    @cached_property
    def home(self) -> Storage:
        """The storage of all digests of this search; apart from the experiment's, which is pruned."""
        return Storage(self.plan.params.cluster.storage) / f"{self.experiment}.search"

    @cached_property
    def store(self) -> Storage:
        """The storage of this digest: a folder a trial."""
        return self.home / self.digest[:12]

    def params_with(self, settings: Mapping[str, Value]) -> Params:
        """The parameters of a trial."""
        return methods.with_settings(self.plan.params, self.experiment, settings)


def make_search(params: Params, experiment: str, shards: Path) -> SearchPlan:
    """Check everything that can be checked before a trial starts. MienError says what to change."""
    if experiment not in params.searches:
        known = ", ".join(params.searches) or "none"
        raise MienError(f"searches of params.yaml has no {experiment} (it has: {known}); add it there.")
    search, entry = params.searches[experiment], params.experiments[experiment]
    space = params.search[entry.method]
    methods.check_space(params, entry.method)
    plan = make_plan(params, experiment, shards)
    told = plan.settings.model_dump(mode="json")
    defaults = {key: methods.setting(told, key) for key in space}
    for key, value in defaults.items():
        if not holds(space[key], value):
            raise MienError(
                f"search.{entry.method}.{key} does not hold {value!r}, which experiments.{experiment} has; "
                "widen it."
            )
    first = plan.cells[0]
    cells = tuple(cell for cell in plan.cells if cell._replace(normal=first.normal) == first)
    length = len(cells) if plan.scores else sum(watched_phases(params, experiment, plan.index).values())
    parts = [_parts(params, experiment, plan.index, cell) for cell in cells]
    _refuse_small(plan, cells, parts)
    if search.algorithm == "grid":
        _refuse_large_grid(experiment, search, space)
    faces = {
        "train": round(float(np.mean([len(p.split.train) for p in parts]))),
        "validation": round(float(np.mean([len(p.split.validation) for p in parts]))),
        "aliens": round(float(np.mean([len(p.aliens) for p in parts]))),
    }
    rungs = rungs_of(search, length)
    return SearchPlan(plan, search, space, defaults, cells, rungs, length, faces)


def rungs_of(search: Search, length: int) -> tuple[int, ...]:
    """When a trial may be stopped: after `grace`, and each time `reduction` times as late."""
    if search.stopping == "none":
        return ()
    found, rung = [], search.grace
    while rung < length:
        found.append(rung)
        rung *= search.reduction
    return tuple(found)


def watched_phases(params: Params, experiment: str, index: Index) -> dict[str, int]:
    """The phases that learn expressions, of which an epoch counts, and their epochs."""
    name = params.experiments[experiment].method
    settings = methods.settings(params, experiment)
    scores = bool(methods.method_class(name).scores)
    method = methods.build(name, settings, index.classes[:1] if scores else index.classes)
    return {phase.name: phase.epochs for phase in method.phases() if phase.label == "expression"}


def search_cell(
    params: Params,
    experiment: str,
    cell: Cell,
    shards: Path,
    options: Options,
    wrap: Wrap = lambda method: method,
    resume: State | None = None,
    after_epoch: AfterEpoch = lambda end, state: None,
    after_step: AfterStep = lambda step, state: None,
) -> float:
    """Train a cell on untested faces; the final weights' figure on untested validation faces, 0 to 1.

    Mean accuracy over classes; of a one-class method the AUC of its headline score, the mean over alien
    classes. Every rank calls this and gets the same. MienError: the figure is not defined.
    """
    index = read_index(shards / params.experiments[experiment].corpus)
    parts = _parts(params, experiment, index, cell)
    shown = noisy_labels(index, parts.split.train, params.experiments[experiment].label_noise)
    method, _ = fit_cell(
        params,
        experiment,
        cell,
        index,
        parts.split,
        shards,
        options,
        wrap,
        resume,
        after_epoch,
        after_step,
        shown,
    )
    rows = np.sort(np.concatenate([parts.split.validation, parts.aliens]))
    told = answers(method, index, rows, options, params.train.reader_threads)
    label = told[:, 1].astype(np.int64)
    if not method.scores:
        figures = rates(count(label, told[:, 2:].argmax(axis=1), len(index.classes)))
        return float(figures.mean_accuracy)
    names = dict(enumerate(index.classes))
    found = areas(told[:, 2], label, index.classes.index(cell.normal), names)
    if found.empty:
        raise MienError(f"{experiment} {cell.name} has no AUC on its validation faces: {found.empty}.")
    return found.macro


def _parts(params: Params, experiment: str, index: Index, cell: Cell) -> Untested:
    cells = params.experiments[experiment].cells(index.classes)
    share = params.searches[experiment].validation_share
    return split_untested(index, cells, cell, share, params.shard.seed)


def _refuse_small(plan: Plan, cells: tuple[Cell, ...], parts: list[Untested]) -> None:
    method = methods.build(
        plan.method, plan.settings, plan.index.classes[:1] if plan.scores else plan.index.classes
    )
    own = [p for p in method.phases() if not p.fits and p.corpus is None and p.label == "expression"]
    batch = max((phase.batch_size for phase in own), default=1)
    for cell, part in zip(cells, parts, strict=True):
        if len(part.split.train) < batch or not len(part.split.validation):
            raise MienError(
                f"searches.{plan.experiment}: {cell.name} has {len(part.split.train)} untested faces to "
                f"train on and {len(part.split.validation)} to validate with, but methods.{plan.method} has "
                f"batches of {batch}; lower that, or name fewer folds in the experiment."
            )


def _refuse_large_grid(experiment: str, search: Search, space: Space) -> None:
    points = len(grid(space, search.grid_steps))
    if points > search.trials:
        raise MienError(
            f"searches.{experiment}: the grid has {points} points, more than trials = {search.trials}; raise "
            "it, lower grid_steps, or search fewer settings."
        )
