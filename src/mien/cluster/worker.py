"""What each Ray Train worker runs: cells, one after another, as they are handed out to its group."""

import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import ray.train
import ray.train.torch
import torch
from ray.train.collective import broadcast_from_rank_zero
from torch import nn

from mien.cluster import checkpoints
from mien.cluster.checkpoints import Checkpoint
from mien.cluster.relay import NODE, REPORTS, SYSTEM
from mien.config import MienError, Params, out_of_room
from mien.config.train import Cell
from mien.methods.contract import Method
from mien.training.cell import train_cell
from mien.training.kept import MODEL, Curve, keep
from mien.training.loop import EpochEnd, Options, StateOf
from mien.training.plan import CELLS
from mien.training.published import view
from mien.training.ranks import sum_over_ranks
from mien.training.reports import CellReport
from mien.training.state import State, of_all_ranks, of_rank
from mien.training.storage import SEAL, Storage

FAILED = "failed.json"
REPORT_EVERY_S = 1.0
"""A report costs some tenths of a second, which is more than an epoch of a small training."""
STEPS_A_LOOK = 50
"""How often ranks agree within an epoch whether it is time for a checkpoint."""


@dataclass(frozen=True)
class Job:
    """What a worker group is told of a cell; plain values, since it travels."""

    params: dict[str, Any]
    experiment: str
    shards: str
    published: dict[str, str]  # corpus -> address, where the workers do not see `shards`
    store: str  # of this digest
    checkpoints: str  # the cell's place for them in the store
    cell: tuple[Any, ...]  # Cell
    epochs: list[int]  # of each phase

    def as_config(self) -> dict[str, Any]:
        """As it travels."""
        return asdict(self)


def train_cells(config: dict[str, Any]) -> None:
    """The train function of a worker group: `config` has its number `group` and the actor `handout`."""
    handout, first = config["handout"], ray.train.get_context().get_world_rank() == 0
    number: int | None = None
    with tempfile.TemporaryDirectory(prefix="mien-shards-") as views:
        while True:
            own = _start(handout, config["group"], number) if first else None
            start = broadcast_from_rank_zero(own)
            number = start["number"]
            if number is None:
                return
            if start["trains"]:
                _train(Job(**ray.get(handout.job.remote(number))), start["checkpoint"], Path(views))


def _start(handout: Any, group: int, finished: int | None) -> dict[str, Any]:
    """Rank 0's view, which all ranks then take: the next cell, and the checkpoint to go on from.

    A cell is left alone whose experiment has failed for a reason that the user must mend, or that is kept.
    """
    number = ray.get(handout.next.remote(group, finished))
    if number is None:
        return {"number": None}
    job = Job(**ray.get(handout.job.remote(number)))
    store = Storage(job.store)
    settled = (FAILED, f"{CELLS}/{Cell(*job.cell).name}/{SEAL}")
    trains = all(store.read_json(name) is None for name in settled)
    return {
        "number": number,
        "trains": trains,
        "checkpoint": checkpoints.newest(store / job.checkpoints) if trains else None,
    }


def _train(job: Job, checkpoint: str | None, views: Path) -> None:
    """A cell, from a checkpoint if any, on all ranks."""
    store, cell, params = Storage(job.store), Cell(*job.cell), Params.model_validate(job.params)
    torch.set_num_threads(min(params.train.threads_per_worker, len(os.sched_getaffinity(0))))
    resume = checkpoints.load(store / job.checkpoints, checkpoint) if checkpoint else None
    shards = shards_here(job.shards, job.published, params, views)
    run = _TrainingRun(job, params, store, cell, resume)
    try:
        run.run(shards)
    except (MienError, OSError) as error:  # perhaps of this rank alone, so that it cannot report
        if (sentence := told(error)) is not None:
            store.write_json(FAILED, {"cell": cell.name, "sentence": sentence, "untold": run.untold})
        raise


def told(error: MienError | OSError) -> str | None:
    """What the user can mend, as a sentence; None where a restart may do."""
    if isinstance(error, MienError):
        return str(error)
    full = out_of_room(error)
    node: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    return f"on {node}, {full}" if full else None


def shards_here(shards: str, published: Mapping[str, str], params: Params, views: Path) -> Path:
    """The folder of all corpora's shards as this node sees them: `views` of published ones, made once."""
    for corpus, address in published.items():
        if not (views / corpus).is_dir():
            view(address, views / corpus, params.cluster.cache_mb)
    return views if published else Path(shards)


class CellRun:
    """One cell on this worker. A search (mien.cluster.trial_worker) tells other things of it."""

    def __init__(self, params: Params, cell: Cell, group: Storage, resume: Checkpoint | None) -> None:
        self._params, self._cell = params, cell
        self._group, self._resume = group, resume
        self._curves: list[Curve] = list(resume.curves) if resume else []
        self._before_s = resume.seconds if resume else 0.0
        self._begun = time.perf_counter()
        self._checkpointed = self._reported = time.monotonic()
        context = ray.train.get_context()
        self._rank, self._node = context.get_world_rank(), context.get_node_rank()
        self._first_on_node = context.get_local_rank() == 0

    def _options(self) -> Options:
        train, device = self._params.train, ray.train.torch.get_device()
        return Options(
            device=device, precision=train.precision, compile=train.compile, eval_batch=train.eval_batch
        )

    def _state(self) -> State | None:
        """Where this rank goes on from."""
        return of_rank(self._resume.state, self._rank) if self._resume else None

    def _wrap(self, method: Method) -> nn.Module:
        """DDP where there are several ranks; parameters that no turn of the phase moves are frozen by now."""
        train, context = self._params.train, ray.train.get_context()
        if context.get_world_size() == 1:
            return method
        if train.sync_batch_norm and train.gpu:
            nn.SyncBatchNorm.convert_sync_batchnorm(method)  # type: ignore[no-untyped-call] # in place, so that the method itself has them
        several = any(len(method.turns(phase, 0)) > 1 for phase in method.phases() if not phase.fits)
        options = {"find_unused_parameters": several}
        wrapped: nn.Module = ray.train.torch.prepare_model(method, parallel_strategy_kwargs=options)
        return wrapped

    def _after_step(self, step: int, state_of: StateOf) -> None:
        """A checkpoint within an epoch, where epochs are long."""
        if (step + 1) % STEPS_A_LOOK or not self._agreed(self._saves()):
            return
        self._tell(of_all_ranks(state_of(), ray.train.torch.get_device()))

    def _after_epoch(self, end: EpochEnd, state_of: StateOf) -> None:
        """On every rank, equally often: a report where one is due, with a checkpoint where one is."""
        self._curves += [(end.phase, end.epoch, name, float(value)) for name, value in end.values.items()]
        saves, due = self._saves(), self._due(end)
        if self._agreed(saves or due):
            self._tell(state_of() if saves and self._rank == 0 else None)

    def _saves(self) -> bool:
        return time.monotonic() - self._checkpointed >= self._params.train.checkpoint_every_s

    def _due(self, end: EpochEnd) -> bool:
        """Whether to report after an epoch even if no checkpoint is due; asked on every rank."""
        raise NotImplementedError

    def _told(self) -> dict[str, Any]:
        """What this rank reports."""
        raise NotImplementedError

    def _tell(self, state: State | None) -> None:
        """The one place that reports; rank 0 keeps its checkpoint before."""
        words = self._told()
        if self._rank == 0 and state is not None:
            held = Checkpoint(self._cell, self._curves, self._seconds(), state)
            checkpoints.keep(self._group, held)
            self._checkpointed = time.monotonic()
        ray.train.report(words)
        self._reported = time.monotonic()

    def _agreed(self, due: bool) -> bool:
        """Rank 0's answer on every rank: their clocks differ, and a report waits for all of them."""
        own = torch.tensor([float(due and self._rank == 0)], device=ray.train.torch.get_device())
        return bool(sum_over_ranks(own))

    def _seconds(self) -> float:
        """Spent on this cell, earlier attempts included."""
        return self._before_s + time.perf_counter() - self._begun


class _TrainingRun(CellRun):
    """A cell of an experiment: what comes of it is kept."""

    def __init__(
        self, job: Job, params: Params, store: Storage, cell: Cell, resume: Checkpoint | None
    ) -> None:
        super().__init__(params, cell, store / job.checkpoints, resume)
        self._job, self._store = job, store
        self.untold: list[str] = []  # epochs that wait for the next report, equal on every rank

    def run(self, shards: Path) -> None:
        """Train, and have rank 0 keep what came of it."""
        with tempfile.TemporaryDirectory(prefix="mien-cell-") as scratch:
            folder = Path(scratch)
            trained = train_cell(
                self._params,
                self._job.experiment,
                self._cell,
                shards,
                folder / MODEL,
                self._options(),
                self._wrap,
                self._state(),
                self._after_epoch,
                self._after_step,
            )
            if self._rank == 0:
                about = {"record": dict(trained.record), "seconds": self._seconds()}
                keep(self._store, self._cell, folder, trained.predictions, self._curves, about)
                self._store.delete(self._job.checkpoints)

    def _due(self, end: EpochEnd) -> bool:
        self.untold.append(self._report(end).to_json())
        return end.last or time.monotonic() - self._reported >= REPORT_EVERY_S

    def _told(self) -> dict[str, Any]:
        told: dict[str, Any] = {SYSTEM: _load(), NODE: self._node} if self._first_on_node else {}
        untold, self.untold = self.untold, []
        return told | ({REPORTS: untold} if self._rank == 0 else {})

    def _report(self, end: EpochEnd) -> CellReport:
        epochs = self._job.epochs
        done = (sum(epochs[: end.phase_number]) + end.epoch + 1) / sum(epochs)
        where = (self._job.experiment, self._cell, end.phase, end.epoch, end.epochs)
        return CellReport(*where, values=end.values, done=done, at=time.time())


def _load() -> Mapping[str, float]:
    """How busy this machine is, under MLflow's names; percentages since the last call in this process."""
    memory, disk = psutil.virtual_memory(), psutil.disk_usage("/")
    return {
        "cpu_utilization_percentage": psutil.cpu_percent(),
        "system_memory_usage_megabytes": memory.used / 2**20,
        "system_memory_usage_percentage": memory.percent,
        "disk_usage_percentage": disk.percent,
        **_gpu_load(),
    }


def _gpu_load() -> dict[str, float]:
    if not torch.cuda.is_available():
        return {}
    load = {}
    for number in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(number)
        load[f"gpu_{number}_memory_usage_megabytes"] = (total - free) / 2**20
        load[f"gpu_{number}_memory_usage_percentage"] = 100 * (1 - free / total)
    return load
