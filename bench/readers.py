"""Readers against the decoder alone and against WebDataset, in one run: `bench/readers.py [--json FILE]`.

112 px JPEG crops at quality 95 with a JSON each, in tars that mien writes. A rate counts samples per second
of this process's CPU time, the system's part included, beside the rate by the clock: the best of a few epochs
after one to warm up. WebDataset parses the JSON of a sample; mien's readers have its content from the index,
so WebDataset without parsing stands in the table as well.
"""

import argparse
import gc
import io
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import psutil
import pyarrow as pa
import simplejpeg
import torch
import webdataset as wds

from mien.config.shard import Shard
from mien.manifest.tables import ALIGNED, LANDMARKS, MANIFEST, write_table
from mien.shards.index import Index, read_index
from mien.shards.indexed import IndexedReader
from mien.shards.streaming import StreamingReader
from mien.shards.writer import write_shards

FACES, SIDE_PX, QUALITY, BATCH, EPOCHS, EPOCHS_OF_MEMORY = 4096, 112, 95, 64, 3, 10
NEEDS = ("faces", "label", "points", "subject")
"""Rates below which the issue asks for better: (reader, against what, least ratio)."""
TARGETS = (
    ("IndexedReader", "decoder alone", 0.70),
    ("IndexedReader", "WebDataset, simplejpeg", 2.0),
    ("StreamingReader", "WebDataset, simplejpeg", 1.0),
    ("StreamingReader", "WebDataset, its own decoder", 1.0),
)


def face_like(random: np.random.Generator) -> np.ndarray:
    """A smooth coloured picture with some texture: about as many bytes as a photographed face."""
    side = (SIDE_PX, SIDE_PX)
    smooth = cv2.resize(
        random.uniform(40, 220, (6, 6, 3)).astype(np.float32), side, interpolation=cv2.INTER_CUBIC
    )
    texture = cv2.GaussianBlur(random.normal(0, 22, (*side, 3)).astype(np.float32), (0, 0), 1.0)
    return np.clip(smooth + texture, 0, 255).astype(np.uint8)


def make(into: Path) -> Index:
    """Write the tables of the earlier stages, then the shards."""
    pictures, faces, points = [], [], []
    for n in range(FACES):
        random = np.random.default_rng(n)
        crop = simplejpeg.encode_jpeg(face_like(random), QUALITY, "RGB", "444")  # as stage align writes them
        key = f"f{n:05d}"
        known = {"key": key, "path": key, "corpus": "bench", "subject": f"p{n // 16:04d}", "yaw": 0.0}
        known |= {"expression": ("neutral", "happy", "sad")[n % 3], "attributes": '{"intensity":0.5}'}
        pictures.append(dict.fromkeys(MANIFEST.names) | known)
        faces.append(dict.fromkeys(ALIGNED.names) | {"key": key, "crop": crop})
        at = random.uniform(0, SIDE_PX, 136).astype(np.float32).tolist()
        points.append({"key": key, "points": at, "reject": None})
    write_table(pa.Table.from_pylist(pictures, MANIFEST), into / "manifest", MANIFEST)
    write_table(pa.Table.from_pylist(faces, ALIGNED), into / "aligned", ALIGNED)
    write_table(pa.Table.from_pylist(points, LANDMARKS), into / "points", LANDMARKS)
    tables = (into / name for name in ("manifest", "aligned", "points"))
    write_shards("bench", *tables, into=into / "shards", params=Shard(samples_per_shard=512))
    return read_index(into / "shards")


def decoder_alone(index: Index) -> Callable[[int], int]:
    """simplejpeg on bytes that are in memory already, into one buffer: what no reader can beat."""
    crops: list[bytes] = []
    for name in sorted(set(index.column("shard").tolist())):
        data = (index.folder / name).read_bytes()
        rows = np.flatnonzero(index.column("shard") == name)
        places = zip(index.column("offset")[rows].tolist(), index.column("size")[rows].tolist(), strict=True)
        crops += [data[begin : begin + size] for begin, size in places]
    out = np.empty((SIDE_PX, SIDE_PX, 3), dtype=np.uint8)

    def epoch(_: int) -> int:
        for crop in crops:
            simplejpeg.decode_jpeg(crop, buffer=out)
        return len(crops)

    return epoch


def reader(made: IndexedReader | StreamingReader) -> Callable[[int], int]:
    """Shuffled batches, labels, landmarks and people included."""
    return lambda epoch: sum(len(batch) for batch in made.batches(BATCH, 0, epoch))


def webdataset(index: Index, decode: Callable[[wds.WebDataset], wds.WebDataset]) -> Callable[[int], int]:
    """WebDataset's pipeline with its shuffle buffer, batches stacked into one tensor."""
    tars = [str(index.folder / name) for name in sorted(set(index.column("shard").tolist()))]

    def epoch(number: int) -> int:
        data = wds.WebDataset(tars, shardshuffle=len(tars), seed=number, detshuffle=True)
        pipeline = decode(data.shuffle(1000)).batched(BATCH, collation_fn=stacked)
        return sum(len(batch[0]) for batch in pipeline)

    return epoch


def stacked(samples: list[tuple[np.ndarray, object]]) -> tuple[torch.Tensor, list[object]]:
    """One tensor of faces, and the rest as it is."""
    return torch.from_numpy(np.stack([face for face, _ in samples])), [rest for _, rest in samples]


def with_simplejpeg(parse: bool) -> Callable[[wds.WebDataset], wds.WebDataset]:
    """Decode by simplejpeg; parse the JSON or leave it as bytes."""

    def one(sample: dict[str, bytes]) -> tuple[np.ndarray, object]:
        face = simplejpeg.decode_jpeg(sample["jpg"])
        return face, json.loads(sample["json"]) if parse else sample["__key__"]

    return lambda data: data.map(one)


def its_own(data: wds.WebDataset) -> wds.WebDataset:
    """WebDataset's decoder (Pillow) and JSON handler."""
    return data.decode("rgb8").to_tuple("jpg", "json")


def measured(epoch: Callable[[int], int]) -> dict[str, float]:
    """Samples per CPU second and per second, the best of EPOCHS after one to warm up."""
    epoch(0)
    rates = []
    for number in range(1, EPOCHS + 1):
        gc.collect()
        cpu, wall = time.process_time(), time.perf_counter()
        count = epoch(number)
        rates.append((count / (time.process_time() - cpu), count / (time.perf_counter() - wall)))
    return {"per_cpu_s": max(r[0] for r in rates), "per_s": max(r[1] for r in rates)}


def memory(epoch: Callable[[int], int]) -> Iterator[float]:
    """Resident MiB of this process after each of EPOCHS_OF_MEMORY epochs."""
    for number in range(EPOCHS_OF_MEMORY):
        epoch(number)
        gc.collect()
        yield psutil.Process().memory_info().rss / 2**20


def main() -> None:
    """Measure all, print a table, write JSON if asked."""
    parser = argparse.ArgumentParser(description="Readers against the decoder and WebDataset.")
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        index = make(Path(folder))
        everything = range(len(index))
        indexed = reader(IndexedReader(index, everything, index.classes, NEEDS))
        streaming = reader(StreamingReader(index, everything, index.classes, NEEDS))
        candidates = {
            "decoder alone": decoder_alone(index),
            "IndexedReader": indexed,
            "StreamingReader": streaming,
            "WebDataset, simplejpeg, JSON not parsed": webdataset(index, with_simplejpeg(parse=False)),
            "WebDataset, simplejpeg": webdataset(index, with_simplejpeg(parse=True)),
            "WebDataset, its own decoder": webdataset(index, its_own),
        }
        rates = {name: measured(epoch) for name, epoch in candidates.items()}
        resident = {"IndexedReader": list(memory(indexed)), "StreamingReader": list(memory(streaming))}
        size = float(index.column("size").mean())
    ratios = [(a, b, rates[a]["per_cpu_s"] / rates[b]["per_cpu_s"], least) for a, b, least in TARGETS]
    sys.stdout.write(report(rates, ratios, resident, size))
    if asked.json:
        figures = {"faces": FACES, "bytes": size, "rates": rates, "resident_mib": resident}
        figures["ratios"] = [dict(zip(("of", "to", "ratio", "wanted"), r, strict=True)) for r in ratios]
        asked.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def report(
    rates: dict[str, dict[str, float]],
    ratios: list[tuple[str, str, float, float]],
    resident: dict[str, list[float]],
    size: float,
) -> str:
    """The figures as Markdown."""
    out = io.StringIO()
    floor = rates["decoder alone"]["per_cpu_s"]
    out.write(
        f"{FACES} crops of {SIDE_PX} px, JPEG q{QUALITY} of {size / 1000:.1f} kB, JSON; 2 threads decode\n\n"
    )
    out.write(
        "| reader | samples per CPU-second | samples per second | of the decoder |\n|---|---:|---:|---:|\n"
    )
    for name, rate in rates.items():
        per_cpu_s, per_s = rate["per_cpu_s"], rate["per_s"]
        out.write(f"| {name} | {per_cpu_s:,.0f} | {per_s:,.0f} | {per_cpu_s / floor:.0%} |\n")
    out.write("\n| ratio, per CPU-second | measured | wanted |\n|---|---:|---:|\n")
    for of, to, ratio, least in ratios:
        out.write(f"| {of} / {to} | {ratio:.2f} | {least:.2f} |\n")
    out.write("\n| resident MiB after epoch | 1 | 2 | 5 | 10 |\n|---|---:|---:|---:|---:|\n")
    for name, mib in resident.items():
        out.write(f"| {name} | {mib[0]:.0f} | {mib[1]:.0f} | {mib[4]:.0f} | {mib[9]:.0f} |\n")
    return out.getvalue()


if __name__ == "__main__":
    main()
