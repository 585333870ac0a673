"""What each Ray Train worker of a search's trial runs: its cells, until a rung's verdict ends it."""

import tempfile
import time
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ray.train
import torch
from ray.train.collective import broadcast_from_rank_zero
from ray.util.placement_group import get_current_placement_group

from mien.cluster import checkpoints
from mien.cluster.checkpoints import Checkpoint
from mien.cluster.worker import CellRun, shards_here
from mien.config import MienError, Params
from mien.config.train import Cell
from mien.shards.index import read_index
from mien.training.loop import EpochEnd
from mien.training.searching import WATCHED, search_cell, watched_phases
from mien.training.storage import Storage
from mien.training.trials import OUTCOME

OBJECTIVE, REACHED, RUNG = "objective", "reached", "rung"
"""Keys of what a trial reports to Tune; a report at no rung (a checkpoint, the end) has 0 for RUNG."""
GROUP, CELLS, PLACEMENT = "train", "cells", "placement.json"
VERDICT_EVERY_S, VERDICT_PATIENCE_S = 0.1, 60.0


@dataclass(frozen=True)
class TrialJob:
    """What the worker group of a trial is told; plain values, since it travels."""

    params: dict[str, Any]  # with the trial's settings
    experiment: str
    shards: str
    published: dict[str, str]  # corpus -> address, where the workers do not see `shards`
    store: str  # of this trial
    cells: list[tuple[Any, ...]]  # Cell
    rungs: list[int]
    counts_cells: bool  # a one-class method: rungs are numbers of cells, not of epochs

    def as_config(self) -> dict[str, Any]:
        """For `train_loop_config`."""
        return asdict(self)


class _StoppedEarly(Exception):  # noqa: N818 - nothing went wrong
    """A verdict has ended the trial; raised on every rank after the same report."""


def verdict_file(rung: int) -> str:
    """Where the scheduler says whether a trial goes on beyond a rung."""
    return f"verdict-{rung}.json"


def search_cells(config: dict[str, Any]) -> None:
    """The train function of a trial: each cell that has no figure yet, from its checkpoint if any."""
    job = TrialJob(**config)
    store = Storage(job.store)
    if store.read_json(OUTCOME) is not None:
        return  # a restart cannot mend it, or has nothing left to do
    params = Params.model_validate(job.params)
    torch.set_num_threads(params.train.threads_per_worker)
    cells = [Cell(*fields) for fields in job.cells]
    first = ray.train.get_context().get_world_rank() == 0
    start = broadcast_from_rank_zero(_start(store, cells) if first else None)
    found = checkpoints.load(store / GROUP, start["checkpoint"]) if start["checkpoint"] else None
    with tempfile.TemporaryDirectory(prefix="mien-shards-") as views:
        shards = shards_here(job.shards, job.published, params, Path(views))
        trial = _TrialRun(job, params, store, shards, cells[: start["done"]], found)
        try:
            trial.run()
        except MienError as error:  # perhaps of this rank alone
            store.write_json(OUTCOME, {**trial.outcome("failed"), "value": None, "sentence": str(error)})
            raise


def _start(store: Storage, cells: Sequence[Cell]) -> dict[str, Any]:
    """Rank 0's view, which all ranks then take: how many cells have a figure, and where to go on.

    It also leaves word of the placement group, which outlives a trial that is killed.
    """
    group = get_current_placement_group()
    if group is not None:
        store.write_json(PLACEMENT, {"id": group.id.hex()})
    done = [(store / CELLS).read_json(f"{cell.name}.json") is not None for cell in cells]
    return {
        "done": done.index(False) if False in done else len(done),
        "checkpoint": checkpoints.newest(store / GROUP),
    }


class _TrialRun:
    """The cells of a trial on this worker, one after another."""

    def __init__(
        self,
        job: TrialJob,
        params: Params,
        store: Storage,
        shards: Path,
        done: Sequence[Cell],
        found: Checkpoint | None,
    ) -> None:
        self.job, self.params, self.store, self.shards = job, params, store, shards
        kept = {cell.name: (store / CELLS).read_json(f"{cell.name}.json") for cell in done}
        self._done = {name: figures for name, figures in kept.items() if figures is not None}
        self._found = found
        self._cell: _SearchedCell | None = None
        self._rank = ray.train.get_context().get_world_rank()
        corpus = params.experiments[job.experiment].corpus
        self.watched = watched_phases(params, job.experiment, read_index(shards / corpus))

    def run(self) -> None:
        """Train what has no figure yet, and have rank 0 write the outcome."""
        try:
            for cell in (Cell(*fields) for fields in self.job.cells):
                if cell.name not in self._done:
                    self._train(cell)
            state = "finished"
        except _StoppedEarly:
            state = "stopped"
        if self._rank == 0:
            self.store.write_json(OUTCOME, self.outcome(state))

    def _train(self, cell: Cell) -> None:
        resume = self._found if self._found is not None and self._found.cell == cell else None
        self._cell = _SearchedCell(self, cell, resume)
        value = self._cell.run()
        self._done[cell.name] = figures = {"value": value, "seconds": self._cell.seconds}
        self._cell = None
        if self._rank == 0:
            (self.store / CELLS).write_json(f"{cell.name}.json", figures)
        if self.job.counts_cells and self.reached in self.job.rungs:
            ray.train.report(self.told(rung=self.reached))
            self.obey(self.reached)

    @property
    def values(self) -> list[float]:
        """Figures of the cells that are done; of several classes, else, one for each epoch so far."""
        if self.job.counts_cells or self._cell is None:
            return [self._done[Cell(*c).name]["value"] for c in self.job.cells if Cell(*c).name in self._done]
        return self._cell.watched

    @property
    def reached(self) -> int:
        """How far the trial is, in epochs or cells."""
        if not self.job.counts_cells and self._cell is None and self._done:
            return sum(self.watched.values())
        return len(self.values)

    @property
    def value(self) -> float:
        """The objective so far: the mean over the classes that are done, or the newest epoch's figure.

        0 while there is none, since Tune takes no report without; no rung stands there.
        """
        values = self.values if self.job.counts_cells else self.values[-1:]
        return sum(values) / len(values) if values else 0.0

    def told(self, rung: int = 0) -> dict[str, Any]:
        """What Tune is told; of this rank's the first counts."""
        return {OBJECTIVE: self.value, REACHED: self.reached, RUNG: rung}

    def outcome(self, state: str) -> dict[str, Any]:
        """What is kept of the trial when it ends."""
        seconds = sum(figures["seconds"] for figures in self._done.values())
        seconds += self._cell.seconds if self._cell else 0.0
        return {"state": state, "value": self.value, "length": self.reached, "seconds": seconds}

    def obey(self, rung: int) -> None:
        """Wait for the verdict at a rung; every rank leaves by _StoppedEarly if it is to end the trial.

        Without one (Tune is gone, and this worker soon after) the trial goes on.
        """
        until, verdict = time.monotonic() + VERDICT_PATIENCE_S, None
        while self._rank == 0 and verdict is None and time.monotonic() < until:
            verdict = self.store.read_json(verdict_file(rung))
            if verdict is None:
                time.sleep(VERDICT_EVERY_S)
        stop = broadcast_from_rank_zero(
            {"stop": bool(verdict and verdict["stop"])} if self._rank == 0 else None
        )
        if stop["stop"]:
            raise _StoppedEarly


class _SearchedCell(CellRun):
    """One cell of a trial."""

    def __init__(self, trial: _TrialRun, cell: Cell, resume: Checkpoint | None) -> None:
        super().__init__(trial.params, cell, trial.store / GROUP, resume)
        self._trial = trial
        self._rungs: Collection[int] = () if trial.job.counts_cells else trial.job.rungs
        self._at_rung = False

    @property
    def watched(self) -> list[float]:
        """The objective after each epoch that learns expressions, in order."""
        phases = self._trial.watched
        return [value for phase, _, name, value in self._curves if name == WATCHED and phase in phases]

    @property
    def seconds(self) -> float:
        """Spent on this cell, earlier attempts included."""
        return self._seconds()

    def run(self) -> float:
        """Train; the figure of the final weights."""
        job = self._trial.job
        where = (self._params, job.experiment, self._cell, self._trial.shards)
        return search_cell(
            *where, self._options(), self._wrap, self._state(), self._after_epoch, self._after_step
        )

    def _due(self, end: EpochEnd) -> bool:
        self._at_rung = end.phase in self._trial.watched and len(self.watched) in self._rungs
        return self._at_rung

    def _told(self) -> dict[str, Any]:
        return self._trial.told(rung=len(self.watched) if self._at_rung else 0)

    def _tell(self, state: Any) -> None:
        super()._tell(state)
        if self._at_rung:
            self._at_rung = False
            self._trial.obey(len(self.watched))
