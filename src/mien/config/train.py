"""`cluster`, `train` and `experiments` of params.yaml."""

from typing import Any, Literal

from pydantic import Field, model_validator

from mien.config.section import Section


class Cluster(Section):
    """The Ray cluster that the stages run on; MIEN_RAY_ADDRESS overrides `address`."""

    address: str | None = None  # None: one local Ray for the whole `dvc repro`, gone with it
    storage: str = "storage"  # checkpoints: a path on one machine, or s3://bucket/prefix
    object_store_mb: int = Field(400, ge=80)
    stage_timeout_s: int = Field(7200, ge=1)


class Train(Section):
    """How worker groups train, whatever the method."""

    workers: int = Field(1, ge=1)
    cpus_per_worker: float = Field(1, gt=0)
    threads_per_worker: int = Field(1, ge=1)
    gpu: bool = False
    groups: int = Field(
        1, ge=1
    )  # worker groups side by side, each with a share of an experiment's folds and seeds
    precision: Literal["float32", "bf16"] = "float32"
    compile: bool = False
    sync_batch_norm: bool = True  # on accelerators, where torch has it
    max_failures: int = Field(3, ge=0)
    checkpoint_every_epochs: int = Field(1, ge=1)
    reader_threads: int = Field(2, ge=1)
    eval_batch: int = Field(256, ge=1)


class Experiment(Section):
    """A row of the results table: one method on one corpus under one protocol."""

    method: str
    corpus: str
    second_corpus: str  # what a phase may read beside it, so that DVC knows; the same again when none does
    settings: dict[str, Any] = Field({})  # over `methods.METHOD`
    folds: list[int] = Field(min_length=1)  # which of `shard.folds` are the test part in turn
    seeds: list[int] = Field([0], min_length=1)
    validation_share: float = Field(0.15, gt=0, lt=1)  # of the training subjects
    paper: dict[str, float] = Field({})  # the paper's own figures on its own corpus, for the report

    @model_validator(mode="after")
    def _distinct(self) -> "Experiment":
        for name in ("folds", "seeds"):
            values = getattr(self, name)
            if len(set(values)) != len(values):
                raise ValueError(f"{name} names one twice: {values}")
        return self
