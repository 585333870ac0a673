"""What an experiment's training consists of, and every reason not to begin it."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mien import methods
from mien.config import MienError, Params, Section
from mien.config.train import Cell
from mien.manifest.tables import sha256
from mien.methods.contract import Phase
from mien.shards.folds import split_cell
from mien.shards.index import Index, read_index
from mien.training.storage import Storage

CELLS = "cells"
_ROOMS = ("shards", "parts", "training")  # besides the method's own file, what a trained weight depends on
# of an experiment: which cells there are, and what others got
_NO_MATTER = {"folds", "seeds", "trials", "normal", "paper", "tuned"}


@dataclass(frozen=True)
class Plan:
    """One experiment, ready to be trained: settings checked, shards read, its storage known."""

    params: Params
    experiment: str
    shards: Path  # the folder of all corpora's shards
    settings: Section  # the method's
    index: Index  # of the experiment's corpus
    digest: str
    epochs: tuple[int, ...]  # of each phase
    scores: tuple[str, ...]  # of a one-class method, else none

    @property
    def method(self) -> str:
        """The method's name."""
        return self.params.experiments[self.experiment].method

    @property
    def cells(self) -> list[Cell]:
        """All that the experiment trains."""
        return self.params.experiments[self.experiment].cells(self.index.classes)

    @property
    def corpora(self) -> set[str]:
        """Whose shards are read."""
        entry = self.params.experiments[self.experiment]
        return {entry.corpus, entry.second_corpus}

    @property
    def name(self) -> str:
        """The experiment and what it depends on: a changed setting never finds an older one's checkpoints."""
        return f"{self.experiment}-{self.digest[:12]}"

    @cached_property
    def home(self) -> Storage:
        """The storage of all digests of this experiment."""
        return Storage(self.params.cluster.storage) / self.experiment

    @cached_property
    def store(self) -> Storage:
        """The storage of this digest: finished cells, checkpoints, run ids."""
        return self.home / self.digest[:12]

    def missing(self) -> list[Cell]:
        """The cells that are not yet kept whole."""
        kept = self.store / CELLS
        return [cell for cell in self.cells if kept.read_json(f"{cell.name}/seal.json") is None]

    def checkpoints(self, cell: Cell) -> str:
        """Where a cell's checkpoints lie in the store."""
        return f"{self.name}-{cell.name}"


def make_plan(params: Params, experiment: str, shards: Path) -> Plan:
    """Check everything that can be checked before a worker starts. MienError says what to change."""
    if experiment not in params.experiments:
        known = ", ".join(sorted(params.experiments))
        raise MienError(f"{experiment} is not one of params.yaml's experiments; it has {known}.")
    entry = params.experiments[experiment]
    settings = methods.settings(params, experiment)
    index = read_index(shards / entry.corpus)
    method = methods.build(entry.method, settings, index.classes[:1] if entry.trials else index.classes)
    phases = method.phases()
    _check_phases(params, experiment, phases)
    _check_cells(params, experiment, phases, index)
    named = {name for phase in phases for name in (phase.corpus, phase.beside) if name is not None}
    corpora = sorted({entry.corpus} | named)
    read = {
        name: index.digest if name == entry.corpus else read_index(shards / name).digest for name in corpora
    }
    methods.require_files(entry.method, settings)
    files = {**methods.method_class(entry.method).files(settings), **_noise_file(params, experiment)}
    given = {key: sha256(path) for key, path in files.items()}
    inputs = {"shards": read, "files": given, "code": code_digest(entry.method)}
    digest = run_digest(params, experiment, settings, inputs)
    epochs = tuple(phase.epochs for phase in phases)
    return Plan(params, experiment, shards.absolute(), settings, index, digest, epochs, method.scores)


def _noise_file(params: Params, experiment: str) -> dict[str, Path]:
    file = params.experiments[experiment].label_noise.file
    if file is not None and not Path(file).is_file():
        raise MienError(
            f"experiments.{experiment}.label_noise.file names {file}, which is not there; put it there."
        )
    return {} if file is None else {"label_noise.file": Path(file)}


def _check_phases(params: Params, experiment: str, phases: Sequence[Phase]) -> None:
    entry = params.experiments[experiment]
    for phase in phases:
        if phase.batch_size % params.train.workers:
            raise MienError(
                f"methods.{entry.method}: the batch of {phase.batch_size} in phase {phase.name} cannot be "
                f"shared by train.workers = {params.train.workers}; make it a multiple of that."
            )
        if (phase.beside_batch if phase.beside else 0) % params.train.workers:
            raise MienError(
                f"methods.{entry.method}: the batch of {phase.beside_batch} that phase {phase.name} reads "
                f"beside its own cannot be shared by train.workers = {params.train.workers}; change it."
            )
        other = phase.corpus or phase.beside
        if other not in (None, entry.corpus, entry.second_corpus):
            raise MienError(
                f"methods.{entry.method}: phase {phase.name} reads the corpus {other}, which is "
                f"neither experiments.{experiment}.corpus nor .second_corpus; set second_corpus to it."
            )


def _check_cells(params: Params, experiment: str, phases: Sequence[Phase], index: Index) -> None:
    """Refuse a one-class cell whose own faces do not fill a batch. MienError names class, fold and counts."""
    entry = params.experiments[experiment]
    if entry.folds_by != "subject":  # parts that a corpus may not have
        split_cell(index, entry.cells(index.classes)[0], entry.validation_share, params.shard.seed)
    own = [p for p in phases if not p.fits and p.corpus in (None, entry.corpus) and p.label == "expression"]
    batch = max((phase.batch_size for phase in own), default=1)
    # the parts of a cell do not hang on its seed
    for cell in dict.fromkeys(c._replace(seed=0) for c in entry.cells(index.classes)) if entry.trials else ():
        folds = index.about.picture_folds if cell.folds_by == "picture" else index.about.folds
        if not 0 <= cell.fold < folds or cell.normal not in index.classes:
            raise MienError(
                f"experiments.{experiment}: {entry.corpus} has no {cell.normal} in fold {cell.fold}."
            )
        split = split_cell(index, cell, entry.validation_share, params.shard.seed)
        if len(split.train) < batch:
            raise MienError(
                f"experiments.{experiment}: {cell.normal} has {len(split.train)} training faces in fold "
                f"{cell.fold} of {cell.trial} ({len(split.validation)} for validation), fewer than "
                f"methods.{entry.method}'s batch of {batch}; lower it or make fewer folds."
            )


def run_digest(params: Params, experiment: str, settings: Section, inputs: dict[str, Any]) -> str:
    """SHA-256 over all that a cell's weights depend on, besides its fold and seed."""
    entry = params.experiments[experiment].model_dump(mode="json", exclude=_NO_MATTER)
    told: dict[str, Any] = {"experiment": entry, "settings": settings.model_dump(mode="json")}
    told |= {"train": params.train.model_dump(mode="json"), "align": params.align.model_dump(mode="json")}
    told |= {"landmarks": params.landmarks.model_dump(mode="json")}
    told |= {"validation_split": [params.shard.by, params.shard.seed]}
    told |= {**inputs, "torch": version("torch")}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def code_digest(method: str) -> str:
    """SHA-256 over the sources that training a method runs through; other methods' files are left out."""
    package = Path(methods.__file__).parents[1]
    files = [package / "methods" / name for name in ("__init__.py", "contract.py", f"{method}.py")]
    files += [file for room in _ROOMS for file in (package / room).glob("*.py")]
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(file.relative_to(package).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def refuse_local_storage(storage: Storage, nodes: Sequence[str]) -> None:
    """MienError when several machines would each write to a path of their own."""
    if storage.is_local and len(nodes) > 1:
        raise MienError(
            f"cluster.storage is the path {storage.uri}, but the cluster has {len(nodes)} nodes, which "
            "cannot all read it; give an object store such as s3://bucket/prefix."
        )
