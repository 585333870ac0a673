"""A striped corpus that is learnt in seconds, a tiny experiment on it, and its training without Ray."""

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import simplejpeg

from mien.config import Params
from mien.config.params import parse_section
from mien.config.shard import Shard
from mien.manifest.tables import ALIGNED, LANDMARKS, MANIFEST, write_table
from mien.shards.writer import write_shards
from mien.training.cell import train_cell
from mien.training.kept import MODEL, Curve, keep
from mien.training.loop import EpochEnd, Options, StateOf
from mien.training.plan import Plan

EXPRESSIONS = ("neutral", "happy", "sad")
SIDE = 32


def striped(seed: int, number: int) -> bytes:
    """A face of noise with a bright bar whose height is its class."""
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 140, (SIDE, SIDE, 3)).astype(np.uint8)
    pixels[4 + 9 * number : 10 + 9 * number, 4:28] = random.integers(200, 255, 3)
    return simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=95, colorspace="RGB")


def write_corpus(root: Path, people: int = 8, each: int = 6) -> Path:
    """Shards of `striped` faces in ROOT/shards/striped; gives ROOT/shards."""
    pictures, faces, points = [], [], []
    for n in range(people * each):
        key, number = f"p{n // each:02d}-{n % each}", n % len(EXPRESSIONS)
        crop = striped(n, number)
        row = {"key": key, "path": f"{key}.jpg", "corpus": "striped", "sha256": f"{n:064x}"}
        known = {"expression": EXPRESSIONS[number], "subject": f"p{n // each:02d}"}
        pictures.append(dict.fromkeys(MANIFEST.names) | row | known)
        faces.append(dict.fromkeys(ALIGNED.names) | {"key": key, "crop": crop})
        points.append(dict.fromkeys(LANDMARKS.names) | {"key": key, "points": [float(n % 30)] * 136})
    tables = ((pictures, MANIFEST, "manifest"), (faces, ALIGNED, "aligned"), (points, LANDMARKS, "landmarks"))
    for rows, schema, name in tables:
        write_table(pa.Table.from_pylist(rows, schema), root / name / "part.parquet", schema)
    inputs = {name: root / name / "part.parquet" for name in ("manifest", "aligned", "landmarks")}
    inputs["aligned"] = root / "aligned"
    settings = Shard(folds=2, samples_per_shard=16, phash_distance=0)
    write_shards("striped", **inputs, into=root / "shards" / "striped", params=settings)
    return root / "shards"


def tiny(root: Path, **changed: object) -> Params:
    """resnet18 at 32 px for two epochs on two folds; `changed` replaces sections."""
    corpus = {"kind": "folder", "source": "photographs", "classes": {"n": "neutral"}}
    raw = {
        "preset": "ci",
        "corpora": {"striped": corpus},
        "shard": {"folds": 2, "samples_per_shard": 16},
        "cluster": {"storage": str(root / "storage"), "object_store_mb": 100, "stage_timeout_s": 240},
        "train": {"checkpoint_every_s": 0},
        "methods": {
            "resnet18": {"input_px": 32, "stem": "small", "batch_size": 8, "epochs": 2, "keep": "last"}
        },
        "experiments": {
            "tiny": {
                "method": "resnet18",
                "corpus": "striped",
                "second_corpus": "striped",
                "folds": [0, 1],
                "validation_share": 0.25,
            }
        },
    }
    return parse_section(Params, raw | changed, "params.yaml", "")


def trained_here(plan: Plan) -> None:
    """Every cell of a plan trained in this process and kept in its storage, as worker groups do it."""
    for cell in plan.missing():
        curves: list[Curve] = []

        def after_epoch(end: EpochEnd, state_of: StateOf, curves: list[Curve] = curves) -> None:
            curves += [(end.phase, end.epoch, name, float(value)) for name, value in end.values.items()]

        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            where = (plan.params, plan.experiment, cell, plan.shards, folder / MODEL)
            made = train_cell(*where, Options(), after_epoch=after_epoch)
            about = {"record": dict(made.record), "seconds": made.seconds}
            keep(plan.store, cell, folder, made.predictions, curves, about)
