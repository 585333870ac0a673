"""A small corpus of painted faces, in the tables that the earlier stages write."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import simplejpeg

from mien.config.shard import Shard
from mien.manifest.tables import ALIGNED, LANDMARKS, MANIFEST, write_table
from mien.shards.index import Index, read_index
from mien.shards.writer import write_shards

EXPRESSIONS = ("neutral", "happy", "sad")


def picture(seed: int, side: int = 48) -> np.ndarray:
    """A smooth random picture: no two seeds look alike, and its mirror image does not look like itself."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(0, 255, (7, 7, 3)).astype(np.float32)
    noise = random.normal(0, 4, (side, side, 3)).astype(np.float32)
    return np.clip(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC) + noise, 0, 255).astype(
        np.uint8
    )


def jpeg(pixels: np.ndarray, quality: int = 95) -> bytes:
    return simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=quality, colorspace="RGB")


def png(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1].tobytes()


@dataclass
class Corpus:
    """Rows that a test may change before it writes the tables."""

    pictures: list[dict] = field(default_factory=list)
    faces: list[dict] = field(default_factory=list)
    points: list[dict] = field(default_factory=list)

    def add(self, key: str, crop: bytes | None, **known: object) -> None:
        sha = hashlib.sha256(crop or key.encode()).hexdigest()
        row = dict.fromkeys(MANIFEST.names) | {
            "key": key,
            "path": f"{key}.jpg",
            "corpus": "painted",
            "sha256": sha,
        }
        self.pictures.append(row | known)
        self.faces.append(dict.fromkeys(ALIGNED.names) | {"key": key, "crop": crop})
        at = np.random.default_rng(len(self.points)).uniform(0, 48, 136).astype(np.float32)
        self.points.append(dict.fromkeys(LANDMARKS.names) | {"key": key, "points": at.tolist()})

    def write(self, into: Path, part_rows: int = 17) -> dict[str, Path]:
        paths = {n: into / n for n in ("manifest", "aligned", "landmarks")}
        write_table(pa.Table.from_pylist(self.pictures, MANIFEST), paths["manifest"], MANIFEST)
        for first in range(0, len(self.faces), part_rows):
            part = pa.Table.from_pylist(self.faces[first : first + part_rows], ALIGNED)
            write_table(part, paths["aligned"] / f"part-{first // part_rows:05d}.parquet", ALIGNED)
        write_table(pa.Table.from_pylist(self.points, LANDMARKS), paths["landmarks"], LANDMARKS)
        return paths


def people(count: int = 12, each: int = 4, first: int = 0) -> Corpus:
    """`count` people with `each` pictures: JPEG but for every fifth; a few lack an expression."""
    corpus = Corpus()
    for number in range(first, first + count):
        for k in range(each):
            n = number * each + k
            pixels = picture(n)
            corpus.add(
                f"p{number:03d}-{k}",
                png(pixels) if n % 5 == 4 else jpeg(pixels),
                expression=None if n % 11 == 10 else EXPRESSIONS[k % 3],
                subject=f"p{number:03d}",
                yaw=float(n % 30),
                attributes=json.dumps({"intensity": 0.5, "condition": ("lab", "wild")[k % 2]}),
            )
    return corpus


SMALL = Shard(folds=3, samples_per_shard=10)


def sharded(name: str, into: Path, **given: object) -> Index:
    """Shards, and their index as later stages read it."""
    write_shards(name, into=into, **given)
    return read_index(into)
