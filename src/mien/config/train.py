"""`cluster`, `train` and `experiments` of params.yaml."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from mien.config.section import Section


def _place(value: str) -> str:
    """A path, or s3://bucket/prefix with nothing in it that an address must not carry."""
    parts = urlsplit(value) if "://" in value else None
    if not value or (parts is not None and (parts.scheme != "s3" or not parts.netloc)):
        raise ValueError(f"{value!r} is neither a path nor s3://bucket/prefix")
    if parts is not None and ("@" in parts.netloc or parts.query or parts.fragment):
        raise ValueError(
            "an address carries neither keys nor options; set AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL and so on "
            "in the environment of every node"
        )
    return value


Place = Annotated[str, AfterValidator(_place)]
"""Where things are kept: a path of one machine, or a prefix of an object store that every node reaches."""


class Cluster(Section):
    """The Ray cluster that the stages run on; MIEN_RAY_ADDRESS overrides `address`."""

    address: str | None = None  # None: one local Ray for the whole `dvc repro`, gone with it
    storage: Place = "storage"  # checkpoints, finished cells and, where it is an object store, shards
    cache_mb: int = Field(20_000, ge=1)  # of a node's disk below TMPDIR for shards out of an object store
    object_store_mb: int = Field(400, ge=80)
    stage_timeout_s: int = Field(7200, ge=1)


class Train(Section):
    """How worker groups train, whatever the method."""

    workers: int = Field(1, ge=1)
    cpus_per_worker: float = Field(1, gt=0)
    threads_per_worker: int = Field(1, ge=1)  # figures depend on it a little: sums round otherwise
    gpu: bool = False
    groups: int = Field(1, ge=1)  # worker groups side by side, each taking the next fold and seed
    precision: Literal["float32", "bf16"] = "float32"
    compile: bool = False
    sync_batch_norm: bool = True  # on accelerators, where torch has it
    max_failures: int = Field(3, ge=0)
    checkpoint_every_s: float = Field(30, ge=0)  # at the first end of an epoch this long after the last one
    reader_threads: int = Field(2, ge=1)
    keep_faces_mb: int = Field(0, ge=0)  # decoded faces of a part that a worker may keep in memory
    eval_batch: int = Field(256, ge=1)


class Trial(Section):
    """One table of a one-class experiment: which faces it takes, and how their folds are made."""

    condition: str | None = None  # how the pictures were taken, in the corpus's words (lab, wild); None: all
    folds_by: Literal["subject", "picture"] = (
        "subject"  # picture: people stand in several parts, as in HS-OCFER
    )
    seeds: list[int] | None = Field(None, min_length=1)  # None: the experiment's


class Cell(NamedTuple):
    """What is trained whole or not at all: a fold and a seed, and of which normal class."""

    fold: int
    seed: int
    normal: str = ""  # one-class experiments only
    condition: str = ""  # one-class experiments only
    folds_by: str = ""  # empty: subject

    @property
    def trial(self) -> str:
        """The one-class trial in a word, `lab-picture`; empty where several classes are learnt."""
        return f"{self.condition or 'all'}-{self.folds_by}" if self.normal else ""

    @property
    def name(self) -> str:
        """As it stands in paths and run names."""
        own = f"{self.trial}-{self.normal}-" if self.normal else ""
        return f"{own}fold{self.fold}-seed{self.seed}"


class LabelNoise(Section):
    """Wrong training labels: a drawn share of them, or a list; held-out labels stay as they are."""

    share: float = Field(0.0, ge=0, lt=1)  # of the training faces
    seed: int = 0  # of the draw; it does not follow the training's seed
    file: str | None = None  # lines `NAME LABEL`, as published for RAF-DB; then no share

    @model_validator(mode="after")
    def _either(self) -> "LabelNoise":
        if self.file is not None and self.share:
            raise ValueError("give a share or a file, not both")
        return self


class Experiment(Section):
    """A row of the results table: one method on one corpus under one protocol."""

    method: str
    corpus: str
    second_corpus: str  # what a phase may read beside it, so that DVC knows; the same again when none does
    settings: dict[str, Any] = Field({})  # over `methods.METHOD`
    tuned: bool = False  # train with the best settings that stage `tune` has found for this experiment
    folds: list[int] = Field(min_length=1)  # which of the corpus's folds are the test part in turn
    seeds: list[int] = Field([0], min_length=1)
    validation_share: float = Field(0.15, gt=0, lt=1)  # of the training subjects
    # picture: people stand in several parts; official: the parts that the owner drew, which are fold 0;
    # frame: a sequence's last frame is trained on and those before it are tested, which is fold 0 too
    folds_by: Literal["subject", "picture", "official", "frame"] = "subject"
    label_noise: LabelNoise = LabelNoise()
    trials: list[Trial] = Field([])  # of a one-class method: a table each
    normal: list[str] = Field([])  # of a one-class method: the classes that are normal in turn; empty: each
    paper: dict[str, float] = Field({})  # the paper's own figures on its own corpus, for the report

    @model_validator(mode="after")
    def _distinct(self) -> "Experiment":
        for name in ("folds", "seeds", "normal"):
            values = getattr(self, name)
            if len(set(values)) != len(values):
                raise ValueError(f"{name} names one twice: {values}")
        if self.trials and self.label_noise != LabelNoise():
            raise ValueError("label_noise is for methods that tell several classes apart, not for trials")
        if self.folds_by != "subject" and self.trials:
            raise ValueError(f"folds_by is {self.folds_by}, but a one-class experiment says so in its trials")
        if self.folds_by in ("official", "frame") and self.folds != [0]:
            raise ValueError(f"folds is {self.folds}, but {self.folds_by} parts are one split: folds: [0]")
        return self

    def cells(self, classes: Sequence[str]) -> list[Cell]:
        """What is trained: all folds of one seed first, so that a cut run has whole seeds.

        classes: those of the corpus; the normal classes of a one-class experiment that names none.
        """
        if not self.trials:
            own = "" if self.folds_by == "subject" else self.folds_by
            return [Cell(fold, seed, folds_by=own) for seed in self.seeds for fold in self.folds]
        return [
            Cell(fold, seed, normal, trial.condition or "", trial.folds_by)
            for trial in self.trials
            for seed in trial.seeds or self.seeds
            for fold in self.folds
            for normal in self.normal or classes
        ]
