"""A miniature of everything that the stages leave: two corpora, shards, runs."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from mien.config import Params
from mien.evaluation.predictions import CURVES, PREDICTIONS
from mien.evaluation.stage import parts_of
from mien.manifest.tables import ALIGNED, LANDMARKS, MANIFEST, write_table
from mien.shards.index import Index, read_index
from mien.shards.writer import write_shards

EXPRESSIONS = ("neutral", "happy", "sad")
PICTURE_PX, CROP_PX = 96, 48
TRANSFORM = [0.5, 0, 0, 0, 0.5, 0]
MAGENTA = (250, 0, 250)
"""Photographs of the folder corpora are of this colour, so that one that slips into a page is found."""


def params(**sections) -> Params:
    """Two corpora, two experiments on the rendered one, whose first has figures of its paper."""
    experiment = {"corpus": "toy", "second_corpus": "toy", "folds": [0, 1], "seeds": [0, 1]}
    given = {
        "preset": "ci",
        "corpora": {
            "toy": {"kind": "rendered", "people": 8, "expressions": list(EXPRESSIONS), "wild_pictures": 3},
            "mine": {"kind": "folder", "source": "photographs", "classes": {"a": "neutral"}, "gated": True},
        },
        "shard": {"folds": 2, "max_reject_share": 0.1},
        "methods": {"resnet18": {}},
        "experiments": {
            "plain": {
                **experiment,
                "method": "resnet18",
                "paper": {"accuracy_raf_db": 0.8454, "mean_accuracy_raf_db": 0.7011},
            },
            "better": {**experiment, "method": "resnet18"},
        },
        "evaluate": {"resamples": 200},
        "report": {"people_on_sheet": 3, "faces_with_landmarks": 4},
    }
    return Params.model_validate({**given, **sections})


def make_corpus(
    name: str, data: Path, settings: Params, photographs: Path | None = None, people: int = 8
) -> Index:
    """What the stages leave of a corpus. photographs: where a folder corpus has its pictures."""
    corpus, source = data / "corpora" / name, np.random.default_rng(len(name))
    root = photographs or corpus
    root.mkdir(parents=True)
    pictures, crops, points = [], [], []
    for person in range(people):
        for expression in EXPRESSIONS:
            for number in range(3):
                key = f"{name}-p{person}-{expression}-{number}"
                picture = _picture(source, PICTURE_PX, photographs is not None)
                (root / f"{key}.jpg").write_bytes(picture)
                given = source.uniform(10, 80, 136).astype(np.float32)
                common = {"key": key, "path": f"{key}.jpg", "corpus": name, "expression": expression}
                pictures.append({**common, "subject": f"person{person}", "yaw": 0.0, "points": given})
                crop = _picture(source, CROP_PX, photographs is not None)
                crops.append({"key": key, "crop": crop, "transform": TRANSFORM, "score": 1.0})
                points.append({"key": key, "points": (given / 2 + 1).astype(np.float32)})
    lost = {
        "key": f"{name}-lost",
        "path": "lost.jpg",
        "corpus": name,
        "expression": "sad",
        "subject": "person0",
    }
    pictures += [{**lost, "reject": "truncated or damaged"}, {**lost, "key": f"{name}-back", "reject": None}]
    crops.append({"key": f"{name}-back", "reject": "no face"})
    files = (corpus / "manifest.parquet", data / "aligned" / name / "part-0.parquet")
    write_table(pa.Table.from_pylist(pictures, MANIFEST), files[0], MANIFEST)
    write_table(pa.Table.from_pylist(crops, ALIGNED), files[1], ALIGNED)
    landmarks = data / "landmarks" / name
    write_table(pa.Table.from_pylist(points, LANDMARKS), landmarks / "points.parquet", LANDMARKS)
    errors = {"nme": {"eyes": 0.031, "all": 0.052}}
    (landmarks / "landmarks.json").write_text(json.dumps(errors))
    where = {"manifest": files[0], "aligned": files[1], "landmarks": landmarks / "points.parquet"}
    write_shards(name, **where, into=data / "shards" / name, params=settings.shard, writers=1)
    return read_index(data / "shards" / name)


def make_run(
    experiment: str, index: Index, runs: Path, settings: Params, skill: float, seed: int = 0
) -> None:
    """Predictions, curves and record of an experiment; the higher `skill`, the better."""
    entry, source = settings.experiments[experiment], np.random.default_rng(seed)
    number = {name: i for i, name in enumerate(index.classes)}
    label = dict(zip(index.keys.tolist(), (number[e] for e in index.expression), strict=True))
    rows, curves, cells = [], [], []
    for fold in entry.folds:
        parts = parts_of(index, fold, entry.validation_share, settings.shard.seed)
        for run in entry.seeds:
            for part in ("test", "validation"):
                for key in getattr(parts, part):
                    logits = source.normal(0, 1, len(number))
                    logits[label[key]] += skill
                    shares = (np.exp(logits) / np.exp(logits).sum()).astype(np.float32)
                    row = {"key": key, "fold": fold, "seed": run, "part": part, "label": label[key]}
                    rows.append({**row, "probabilities": shares})
            curves += _curves(fold, run, source)
            cells.append({"fold": fold, "seed": run, "record": {"stem": "random"}, "seconds": 31.0})
    folder = runs / experiment
    write_table(pa.Table.from_pylist(rows, PREDICTIONS), folder / "predictions.parquet", PREDICTIONS)
    write_table(pa.Table.from_pylist(curves, CURVES), folder / "curves.parquet", CURVES)
    about = {"seconds": 31.0 * len(cells), "cells": cells, "shards_digest": index.digest}
    (folder / "run.json").write_text(json.dumps(about))


def _curves(fold: int, seed: int, source: np.random.Generator) -> list[dict[str, object]]:
    rows = []
    for phase, epochs in (("stem", 2), ("whole", 4)):
        for epoch in range(epochs):
            row = {"fold": fold, "seed": seed, "phase": phase, "epoch": epoch}
            noise = float(source.normal(0, 0.02))
            rows.append({**row, "name": "train_loss", "value": 1.1 / (epoch + 1) + noise})
            rows.append({**row, "name": "validation_loss", "value": 1.2 / (epoch + 1) + noise})
            rows.append({**row, "name": "validation_mean_accuracy", "value": 0.33 + 0.1 * epoch + noise})
    return rows


def _picture(source: np.random.Generator, side: int, photograph: bool) -> bytes:
    """Blurred noise that is like no other; a photograph is magenta with little noise."""
    coarse = source.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
    if photograph:
        image = Image.blend(Image.new("RGB", image.size, MAGENTA), image, 0.25)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95)
    return buffer.getvalue()
