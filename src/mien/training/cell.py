"""A cell: one fold and seed of an experiment, from shards to weights and predictions."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor

from mien import methods
from mien.config import MienError, Params
from mien.config.train import Cell, LabelNoise
from mien.evaluation.predictions import ALIEN_SCORES, PREDICTIONS, TEST, VALIDATION
from mien.methods.contract import Method, Phase
from mien.shards.beside import BesideReader
from mien.shards.folds import Split, split_cell
from mien.shards.index import Index, read_index
from mien.shards.label_noise import flips, noisy_labels
from mien.shards.order import Rows
from mien.shards.part import read_part
from mien.training.loop import AfterEpoch, AfterStep, EpochEnd, Options, Wrap, fit
from mien.training.ranks import gather_rows, rank_and_world
from mien.training.state import State
from mien.training.validation import Part, Reader, Readers

FLIPS_FILE = "label_noise.parquet"
"""Beside a model that was trained on wrong labels: which ones, under shards.label_noise.FLIPS."""

HELD_OUT_PICTURES = 0.15
"""Of each person, where people are the labels: their validation part cannot be other people."""


@dataclass(frozen=True)
class Trained:
    """What a cell leaves, equal on every rank."""

    record: Mapping[str, Any]  # facts that a reader of the results must know
    ends: list[EpochEnd]  # of the epochs since the resume
    predictions: pa.Table  # of the test and the validation part, under PREDICTIONS or ALIEN_SCORES
    seconds: float


def train_cell(
    params: Params,
    experiment: str,
    cell: Cell,
    shards: Path,
    into: Path,
    options: Options,
    wrap: Wrap = lambda method: method,
    resume: State | None = None,
    after_epoch: AfterEpoch = lambda end, state: None,
    after_step: AfterStep = lambda step, state: None,
) -> Trained:
    """Train one cell, predict its test and validation parts, and have rank 0 save the model in `into`.

    `shards` holds a folder a corpus. The test part is read once, after training. The cell's seed takes the
    place of `options.seed`. Every rank calls this, with its process group up and `wrap` to average gradients.
    """
    begun = time.perf_counter()
    entry = params.experiments[experiment]
    index = read_index(shards / entry.corpus)
    split = split_cell(index, cell, entry.validation_share, params.shard.seed)
    shown = noisy_labels(index, split.train, entry.label_noise)
    threads = params.train.reader_threads
    method, ends = fit_cell(
        params, experiment, cell, index, split, shards, options, wrap, resume, after_epoch, after_step, shown
    )
    predictions = pa.concat_tables(
        _predictions(method, index, rows, part, cell, options, threads)
        for part, rows in ((TEST, split.test), (VALIDATION, split.validation))
    )
    if rank_and_world()[0] == 0:
        about = {"experiment": experiment, "corpus": entry.corpus, "fold": cell.fold, "seed": cell.seed}
        about |= {"condition": cell.condition, "folds_by": cell.folds_by} if cell.normal else {}
        about |= {"align": params.align.model_dump(mode="json"), "shards_digest": index.digest}
        about |= {"landmarks": params.landmarks.model_dump(mode="json")}
        methods.save(method, entry.method, into, about)
        if entry.label_noise != LabelNoise():
            pq.write_table(flips(index, shown), into / FLIPS_FILE, compression="zstd")
    seen = {} if method.scores else _examined(method, index, split, threads, options)
    record = {**method.record(), **seen, **_told(index, split, shown, entry.label_noise)}
    return Trained(record, ends, predictions, time.perf_counter() - begun)


def fit_cell(
    params: Params,
    experiment: str,
    cell: Cell,
    index: Index,
    split: Split,
    shards: Path,
    options: Options,
    wrap: Wrap = lambda method: method,
    resume: State | None = None,
    after_epoch: AfterEpoch = lambda end, state: None,
    after_step: AfterStep = lambda step, state: None,
    shown: NDArray[np.object_] | None = None,
) -> tuple[Method, list[EpochEnd]]:
    """A fresh method of the experiment, trained on a split whose test part no reader opens.

    The cell gives seed and normal class; `shown`: the expressions to train on in place of the index's own.
    """
    name, config = params.experiments[experiment].method, methods.settings(params, experiment)
    methods.require_files(name, config)
    torch.manual_seed(cell.seed)
    method = methods.build(name, config, (cell.normal,) if cell.normal else index.classes)
    threads, keep_mb = params.train.reader_threads, params.train.keep_faces_mb
    readers = part_readers(method, index, split, shards, threads, cell.seed, keep_mb, shown)
    options = replace(options, seed=cell.seed)
    return method, fit(method, readers, options, wrap, resume, after_epoch, after_step)


def _examined(method: Method, index: Index, split: Split, threads: int, options: Options) -> dict[str, float]:
    """What the first rank finds in the test part besides answers, by `test_` names; gathers nothing."""
    if rank_and_world()[0] != 0:
        return {}
    reader = read_part(index, split.test, method.classes, method.needs, threads=threads)
    with torch.no_grad():
        found = method.examine(b.to(options.device) for b in reader.in_order(options.eval_batch))
    return {f"test_{name}": value for name, value in found.items()}


def _told(index: Index, split: Split, shown: NDArray[np.object_], noise: LabelNoise) -> dict[str, str | int]:
    """What a record says of label noise."""
    if noise == LabelNoise():
        return {}
    flipped, source = int((shown != index.expression).sum()), noise.file or f"share {noise.share}"
    return {"label_noise": source, "flipped_labels": flipped, "training_labels": len(split.train)}


def part_readers(
    method: Method,
    index: Index,
    split: Split,
    shards: Path,
    threads: int = 2,
    seed: int = 0,
    keep_mb: int = 0,
    shown: NDArray[np.object_] | None = None,
) -> Readers:
    """The readers of a fold for `fit`; none of them holds a face of the test part.

    `shown` holds the expressions that training reads in place of the index's own (label noise).
    A phase on another corpus reads all of it but people who bear the name of somebody held out here. A phase
    that tells people apart holds out HELD_OUT_PICTURES of each instead of people; in the experiment's own
    corpus it sees the people of the training part only.
    """

    @cache
    def reader(phase: Phase, part: Part) -> Reader:
        foreign = phase.corpus is not None and phase.corpus != index.folder.name
        source = read_index(shards / phase.corpus) if foreign and phase.corpus else index
        rows = (
            _without(source, index.subject[np.r_[split.validation, split.test]]) if foreign else split.train
        )
        if phase.label == "subject":
            rows = _pictures(source, rows, part, seed)
        elif part == "validation":
            source, rows = index, split.validation
        read = shown if part == "train" and source is index else None
        own = read_part(
            source,
            rows,
            phase.classes or method.classes,
            method.needs,
            phase.label,
            threads,
            keep_mb,
            shown=read,
            balanced=phase.balanced and part == "train",
            people=phase.people,
        )
        if phase.beside is None or part == "validation":
            return own
        near = read_index(shards / phase.beside)
        known = _without(near, index.subject[np.r_[split.validation, split.test]])
        other = read_part(near, known, method.classes, method.needs, "subject", threads, keep_mb)
        return BesideReader(own, other, phase.beside_batch)

    return reader


def _without(index: Index, names: Rows) -> Rows:
    held_out = {name for name in names.tolist() if name is not None}
    return np.flatnonzero([name not in held_out for name in index.subject.tolist()]).astype(np.int64)


def _pictures(index: Index, rows: Rows, part: Part, seed: int) -> Rows:
    """Of each person with two pictures or more, the training or the validation pictures."""
    random, taken = np.random.default_rng(seed), []
    names = index.subject[rows]
    for name in sorted({n for n in names.tolist() if n is not None}):
        own = random.permutation(rows[names == name])
        held_out = max(1, round(HELD_OUT_PICTURES * len(own)))
        if len(own) > 1:
            taken.append(own[:held_out] if part == "validation" else own[held_out:])
    if len(taken) < 2:
        raise MienError(
            f"{index.folder} has not two people with two pictures each; people cannot be told apart."
        )
    return np.sort(np.concatenate(taken))


def _predictions(
    method: Method, index: Index, rows: Rows, part: str, cell: Cell, options: Options, threads: int
) -> pa.Table:
    gathered = answers(method, index, rows, options, threads)
    columns: dict[str, Any] = {
        "key": pa.array(index.keys[gathered[:, 0].astype(np.int64)]),
        "fold": np.full(len(rows), cell.fold, dtype=np.int32),
        "seed": np.full(len(rows), cell.seed, dtype=np.int32),
        "part": pa.array([part] * len(rows)),
        "label": gathered[:, 1].astype(np.int32),
    }
    if method.scores:
        told = {
            name: pa.array([getattr(cell, name)] * len(rows)) for name in ("normal", "condition", "folds_by")
        }
        columns |= told | {"scores": pa.array(list(gathered[:, 2:]), pa.list_(pa.float64()))}
        return pa.table(columns, schema=ALIEN_SCORES)
    columns["probabilities"] = pa.array(list(gathered[:, 2:].astype(np.float32)), pa.list_(pa.float32()))
    return pa.table(columns, schema=PREDICTIONS)


def answers(method: Method, index: Index, rows: Rows, options: Options, threads: int) -> NDArray[np.float64]:
    """(N, 2 + K) on every rank: a face's row in the index, its label, and K probabilities or alien scores."""
    reader = read_part(index, rows, index.classes, method.needs, threads=threads)
    number = {key: row for row, key in zip(rows.tolist(), index.keys[rows].tolist(), strict=True)}
    gathered = gather_rows(_predict(method, reader, number, options)).cpu().numpy()
    gathered = gathered[np.argsort(gathered[:, 0])]
    if not np.array_equal(gathered[:, 0], np.sort(rows)):
        raise RuntimeError(f"{len(gathered)} of {len(rows)} faces were predicted, or one of them twice")
    return np.asarray(gathered, dtype=np.float64)


def _predict(method: Method, reader: Reader, number: Mapping[str, int], options: Options) -> Tensor:
    """This rank's share: a row a face of its row in the index, its label, and probabilities or scores."""
    rank, world = rank_and_world()
    told = len(method.scores or method.classes)
    found = [torch.zeros((0, 2 + told), dtype=torch.float64, device=options.device)]
    with torch.no_grad():
        for local in reader.in_order(options.eval_batch, rank, world):
            batch = local.to(options.device)
            rows = torch.tensor(
                [[number[key]] for key in batch.keys], dtype=torch.float64, device=options.device
            )
            found.append(
                torch.cat([rows, batch.label[:, None].double(), method.predict(batch).double()], dim=1)
            )
    return torch.cat(found)
