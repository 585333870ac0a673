"""A painted corpus that can be learnt in seconds, and the parameters of a tiny experiment on it."""

import os
from pathlib import Path

# before anything imports ray or mlflow: short waits, no telemetry
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import numpy as np
import pyarrow as pa
import pytest
import simplejpeg

from mien.config import Params
from mien.config.params import parse_section
from mien.config.shard import Shard
from mien.manifest.tables import ALIGNED, LANDMARKS, MANIFEST, write_table
from mien.shards.writer import write_shards

EXPRESSIONS = ("neutral", "happy", "sad")
SIDE = 32


def painted(seed: int, number: int) -> bytes:
    """A face of noise with a bright bar whose height is its class."""
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 140, (SIDE, SIDE, 3)).astype(np.uint8)
    pixels[4 + 9 * number : 10 + 9 * number, 4:28] = random.integers(200, 255, 3)
    return simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=95, colorspace="RGB")


def write_corpus(root: Path, people: int = 8, each: int = 6) -> Path:
    """Shards of `painted` faces in ROOT/shards/painted; gives ROOT/shards."""
    pictures, faces, points = [], [], []
    for n in range(people * each):
        key, number = f"p{n // each:02d}-{n % each}", n % len(EXPRESSIONS)
        crop = painted(n, number)
        row = {"key": key, "path": f"{key}.jpg", "corpus": "painted", "sha256": f"{n:064x}"}
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
    write_shards("painted", **inputs, into=root / "shards" / "painted", params=settings)
    return root / "shards"


def tiny(root: Path, **changed: object) -> Params:
    """resnet18 at 32 px for two epochs on two folds; `changed` replaces sections."""
    corpus = {"kind": "folder", "source": "photographs", "classes": {"n": "neutral"}}
    raw = {
        "preset": "ci",
        "corpora": {"painted": corpus},
        "shard": {"folds": 2, "samples_per_shard": 16},
        "cluster": {"storage": str(root / "storage"), "object_store_mb": 100, "stage_timeout_s": 240},
        "methods": {
            "resnet18": {"input_px": 32, "stem": "small", "batch_size": 8, "epochs": 2, "keep": "last"}
        },
        "experiments": {
            "tiny": {
                "method": "resnet18",
                "corpus": "painted",
                "second_corpus": "painted",
                "folds": [0, 1],
                "validation_share": 0.25,
            }
        },
    }
    return parse_section(Params, raw | changed, "params.yaml", "")


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all corpora's shards; not to be changed by a test."""
    return write_corpus(tmp_path_factory.mktemp("painted"))
