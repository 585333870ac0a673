"""`fit`: every phase of a method, in order, in plain torch."""

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from mien.config import MienError
from mien.methods.contract import Method, Phase, Schedule
from mien.parts.schedule import HalveAndReload
from mien.shards.batch import Batch
from mien.training.ranks import mean_over_ranks, rank_and_world
from mien.training.state import FORMAT, Progress, State, random_state, restore_random
from mien.training.step import step
from mien.training.validation import Reader, Readers, validate


@dataclass(frozen=True)
class Options:
    """How to train, whatever the method."""

    seed: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    precision: Literal["float32", "bf16"] = "float32"
    compile: bool = False
    eval_batch: int = 256


@dataclass(frozen=True)
class EpochEnd:
    """An epoch, as it is told to whoever listens; equal on every rank."""

    phase: str
    phase_number: int
    epoch: int  # 0-based, of this phase
    epochs: int
    values: Mapping[str, float]  # train_loss, validation_loss, validation_mean_accuracy, ...
    last: bool  # of the whole fit


StateOf = Callable[[], State]
AfterEpoch = Callable[[EpochEnd, StateOf], None]
AfterStep = Callable[[int, StateOf], None]
Wrap = Callable[[Method], nn.Module]


def fit(
    method: Method,
    readers: Readers,
    options: Options,
    wrap: Wrap = lambda method: method,
    resume: State | None = None,
    after_epoch: AfterEpoch = lambda report, state: None,
    after_step: AfterStep = lambda step, state: None,
) -> list[EpochEnd]:
    """Train a fresh method through its phases and leave it in eval mode, holding the weights to be used.

    `wrap` is called at the start of each phase with the method, moved to `options.device` (for DDP). Both
    callbacks run on every rank and may call for the state, which `resume` takes back: on a CPU the run then
    goes on bit for bit. Reads training and validation parts only. Returns the ends of this call's epochs.
    MienError: a loss that is not finite, too few faces for a batch, a batch that the ranks cannot share.
    """
    return _Fit(method, readers, options, wrap, after_epoch, after_step).run(resume)


class _Fit:
    def __init__(
        self,
        method: Method,
        readers: Readers,
        options: Options,
        wrap: Wrap,
        after_epoch: AfterEpoch,
        after_step: AfterStep,
    ) -> None:
        self.method, self.readers, self.options, self.wrap = method, readers, options, wrap
        self.after_epoch, self.after_step = after_epoch, after_step
        self.phases = list(method.phases())
        self.progress = Progress()
        self.module: nn.Module | None = None
        self.optimizers: dict[str, Optimizer] = {}
        self.schedules: dict[str, Schedule] = {}
        self.reports: list[EpochEnd] = []
        on = options.precision == "bf16"
        self.autocast = torch.autocast(options.device.type, dtype=torch.bfloat16, enabled=on)

    def run(self, resume: State | None) -> list[EpochEnd]:
        if resume:
            self.progress = Progress(**resume["progress"])
        for number, phase in enumerate(self.phases):
            if number < self.progress.phase:  # weights come with the state, structure does not
                self.method.start(phase, self.progress.labels[number])
                self.method.finish(phase)
                continue
            self._begin(phase, resume)
            resume = None
            if phase.fits:
                self._fit_once(phase)
            else:
                self._train(phase)
            self._end(phase)
        self.method.eval()
        return self.reports

    def _begin(self, phase: Phase, resume: State | None) -> None:
        train = self.readers(phase, "train")
        if resume is None:
            self.progress.labels.append(train.labels)
        self.method.start(phase, self.progress.labels[self.progress.phase])
        self.method.to(self.options.device)
        if not phase.fits:
            self._check_batch(phase, train)
            self._prepare(phase)
        if resume:
            self._restore(resume)

    def _check_batch(self, phase: Phase, train: Reader) -> None:
        world, name = rank_and_world()[1], self.method.__module__.rsplit(".", 1)[-1]
        if phase.batch_size % world:
            raise MienError(
                f"methods.{name}: the batch of {phase.batch_size} in phase {phase.name} cannot be "
                f"shared by {world} workers; make it a multiple of train.workers."
            )
        if len(train) < phase.batch_size:
            raise MienError(
                f"methods.{name}: phase {phase.name} takes batches of {phase.batch_size}, but its "
                f"training part has {len(train)} faces; lower the batch size."
            )

    def _prepare(self, phase: Phase) -> None:
        turns = self.method.turns(phase, 0)
        moved = {id(p) for turn in turns for p in self.method.moved_by(phase, turn)}
        for parameter in self.method.parameters():
            parameter.requires_grad_(id(parameter) in moved)
        self.module = None
        gc.collect()  # an old DDP wrapper would still listen to the parameters' gradients
        if self.options.compile:
            for child in self.method.children():
                child.compile()
        self.module = self.wrap(self.method)
        self.optimizers = {turn: self.method.optimizer(phase, turn) for turn in turns}
        schedules = {
            turn: self.method.schedule(phase, turn, moves) for turn, moves in self.optimizers.items()
        }
        self.schedules = {turn: schedule for turn, schedule in schedules.items() if schedule is not None}

    def _fit_once(self, phase: Phase) -> None:
        self.method.eval()
        with torch.no_grad():
            self.method.fit(self._whole(phase), phase)
        self.progress.epoch = phase.epochs
        self._report(phase, self._validated(phase))

    def _whole(self, phase: Phase) -> Iterator[Batch]:
        """The training part once, in order; every rank sees all of it."""
        for batch in self.readers(phase, "train").in_order(self.options.eval_batch):
            yield batch.to(self.options.device)

    def _train(self, phase: Phase) -> None:
        train, progress = self.readers(phase, "train"), self.progress
        while progress.epoch < phase.epochs:
            if progress.step == 0:
                self._seed()
                self.method.eval()
                with torch.no_grad():
                    self.method.refresh(lambda: self._whole(phase), phase, progress.epoch)
            begun = time.perf_counter() - progress.seconds
            values = self._epoch(phase, train, begun)
            values |= self._validated(phase)
            with torch.no_grad():
                values |= self.method.figures(phase)
            self._keep_best(phase, values)
            for turn, schedule in self.schedules.items():
                self._advance(schedule, values, turn, phase)
            progress.epoch, progress.step, progress.sums, progress.seconds = progress.epoch + 1, 0, {}, 0.0
            self._report(phase, values)

    def _epoch(self, phase: Phase, train: Reader, begun: float) -> dict[str, float]:
        rank, world = rank_and_world()
        progress, steps = self.progress, len(train) // phase.batch_size
        assert self.module is not None
        self.module.train()
        self.method.train()
        seed = self.options.seed + 1_000_003 * progress.phase
        for local in train.batches(phase.batch_size, seed, progress.epoch, rank, world, progress.step):
            batch, number = local.to(self.options.device), progress.epoch * steps + progress.step
            terms = step(self.module, self.method, batch, phase, number, self.optimizers, self.autocast)
            for name, term in terms.items():
                progress.sums[name] = progress.sums.get(name, 0.0) + float(term)
            progress.step += 1
            progress.seconds = time.perf_counter() - begun
            self.after_step(number, self.state)
        means = mean_over_ranks({n: v / progress.step for n, v in progress.sums.items()}, self.options.device)
        optimizer = next(iter(self.optimizers.values()))
        return {
            "train_loss": sum(means.values()),
            **{f"train_{name}": value for name, value in means.items()},
            "learning_rate": float(optimizer.param_groups[0]["lr"]),
            "faces_per_second": progress.step * phase.batch_size / max(progress.seconds, 1e-9),
        }

    def _validated(self, phase: Phase) -> dict[str, float]:
        held_out = self.readers(phase, "validation")
        return validate(
            self.method, phase, held_out, self.options.eval_batch, self.options.device, self.autocast
        )

    def _keep_best(self, phase: Phase, values: Mapping[str, float]) -> None:
        if phase.keep == "last":
            return
        accurate = phase.keep == "most_accurate"
        progress, loss = self.progress, values.get("validation_accuracy" if accurate else "validation_loss")
        if loss is None:
            raise MienError(f"phase {phase.name} keeps its best epoch, but its validation part is empty.")
        loss = -loss if accurate else loss
        if progress.best_loss is None or loss < progress.best_loss:
            progress.best_loss, progress.best_epoch = loss, progress.epoch
            state = self.method.state_dict()
            progress.best_weights = {name: tensor.detach().cpu().clone() for name, tensor in state.items()}

    def _advance(self, schedule: Schedule, values: Mapping[str, float], turn: str, phase: Phase) -> None:
        if isinstance(schedule, HalveAndReload):
            if schedule.step(values) and self.progress.best_weights is not None:
                self.method.load_state_dict(self.progress.best_weights)
        elif not isinstance(schedule, ReduceLROnPlateau):
            schedule.step()
        elif "validation_loss" in values:
            schedule.step(values["validation_loss"])
        else:
            raise MienError(
                f"turn {turn} of phase {phase.name} waits for a plateau, but the validation part is empty."
            )

    def _report(self, phase: Phase, values: dict[str, float]) -> None:
        epoch, number = self.progress.epoch - 1, self.progress.phase
        last = number == len(self.phases) - 1 and self.progress.epoch == phase.epochs
        report = EpochEnd(phase.name, number, epoch, phase.epochs, values, last)
        self.reports.append(report)
        self.after_epoch(report, self.state)

    def _end(self, phase: Phase) -> None:
        progress = self.progress
        if progress.best_weights is not None:
            self.method.load_state_dict(progress.best_weights)
        self.module, self.optimizers, self.schedules = None, {}, {}
        self.method.finish(phase)
        self.progress = Progress(phase=progress.phase + 1, labels=progress.labels)

    def _seed(self) -> None:
        """Dropout and the like: equal in a repeated run, different on each rank and in each epoch."""
        rank, _ = rank_and_world()
        place = (self.options.seed * 97 + self.progress.phase) * 100_003 + self.progress.epoch
        torch.manual_seed(place * 1024 + rank)

    def state(self) -> State:
        """Everything `resume` needs; tensors are the live ones, so write it before the next step."""
        return {
            "format": FORMAT,
            "progress": self.progress.state(),
            "model": self.method.state_dict(),
            "optimizers": {turn: optimizer.state_dict() for turn, optimizer in self.optimizers.items()},
            "schedules": {turn: schedule.state_dict() for turn, schedule in self.schedules.items()},
            "random": random_state(),
        }

    def _restore(self, state: State) -> None:
        self.method.load_state_dict(state["model"])
        for turn, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][turn])
        for turn, schedule in self.schedules.items():
            schedule.load_state_dict(state["schedules"][turn])
        restore_random(state["random"])
