"""100,000 small pictures through the stages download and shard: rates, peak memory, and what DVC adds.

Run with 20,000 pictures and with 100,000, so that memory which grows with the corpus shows. The pictures are
smooth random ones; the crops between the two stages are the pictures themselves, as no face is in them. Each
stage is a process of its own under `dvc repro`, in a scratch folder with a cache of its own.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import simplejpeg

from mien.config.corpora import EXPRESSIONS, FolderCorpus
from mien.config.shard import Shard
from mien.corpora import make_corpus
from mien.manifest.tables import ALIGNED, LANDMARKS
from mien.shards.writer import write_shards

COUNTS = (20_000, 100_000)
SIDE_PX, A_PERSON, AT_ONCE = 48, 50, 2_000
CONFIG = FolderCorpus(
    kind="folder", source="photos", classes={e: e for e in EXPRESSIONS}, subject_regex=r"^(p\d+)_"
)
STAGES = """
stages:
  download:
    cmd: {python} {script} --run download
    deps: [photos]
    outs: [corpus]
  shard:
    cmd: {python} {script} --run shard
    deps: [corpus, aligned, landmarks.parquet]
    outs: [shards]
"""


def picture(number: int) -> bytes:
    """A smooth random JPEG of about 2 kB, another for each number."""
    random = np.random.default_rng(number)
    coarse = random.uniform(0, 255, (7, 7, 3)).astype(np.float32)
    smooth = cv2.resize(coarse, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC)
    return simplejpeg.encode_jpeg(np.clip(smooth, 0, 255).astype(np.uint8), quality=90, colorspace="RGB")


def names(count: int) -> Iterator[tuple[str, str]]:
    for number in range(count):
        yield EXPRESSIONS[number % len(EXPRESSIONS)], f"p{number // A_PERSON:05d}_{number:06d}"


def write_inputs(root: Path, count: int) -> None:
    """Photographs in class folders, and what align and landmarks would make of them."""
    for expression in EXPRESSIONS:
        (root / "photos" / expression).mkdir(parents=True)
    (root / "aligned").mkdir()
    crops = pq.ParquetWriter(root / "aligned/part-00000.parquet", ALIGNED, store_schema=False)
    points = pq.ParquetWriter(root / "landmarks.parquet", LANDMARKS, store_schema=False)
    with crops, points:
        block: list[dict[str, object]] = []
        for number, (expression, name) in enumerate(names(count)):
            data = picture(number)
            (root / f"photos/{expression}/{name}.jpg").write_bytes(data)
            block.append({"key": f"{expression}-{name}", "crop": data})
            if len(block) == AT_ONCE or number == count - 1:
                crops.write_table(pa.Table.from_pylist(block, schema=ALIGNED))
                placed = [{"key": row["key"], "points": [24.0] * 136} for row in block]
                points.write_table(pa.Table.from_pylist(placed, schema=LANDMARKS))
                block = []


def run(stage: str) -> None:
    """One stage in the working folder; leaves its seconds and its peak memory."""
    begun = time.perf_counter()
    if stage == "download":
        make_corpus("photos", CONFIG, Path("corpus"), Path("basis"), lambda done, total: None)
    else:
        inputs = {"manifest": Path("corpus/manifest.parquet"), "aligned": Path("aligned")}
        write_shards(
            "photos", **inputs, landmarks=Path("landmarks.parquet"), into=Path("shards"), params=Shard()
        )
    seconds = time.perf_counter() - begun
    lived = time.time() - psutil.Process().create_time()  # imports and all
    Path(f"{stage}.json").write_text(json.dumps({"seconds": seconds, "peak_mib": peak_mib(), "lived": lived}))


def peak_mib() -> float:
    """Of this process alone: getrusage would count what its parent, DVC, held when it started this one."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 2**10


def repro(root: Path) -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-m", "dvc", "repro", "-q"], cwd=root, check=True)
    return time.perf_counter() - begun


def measured(root: Path, count: int) -> dict[str, float]:
    write_inputs(root, count)
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], cwd=root, check=True)
    (root / "dvc.yaml").write_text(STAGES.format(python=sys.executable, script=Path(__file__).resolve()))
    whole, again = repro(root), repro(root)
    told = {stage: json.loads((root / f"{stage}.json").read_text()) for stage in ("download", "shard")}
    figures = {f"{stage}_{name}": value for stage, of in told.items() for name, value in of.items()}
    own = sum(of["lived"] for of in told.values())
    return figures | {"count": count, "dvc_seconds": whole - own, "again_seconds": again}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", choices=("download", "shard"))
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS)
    given = parser.parse_args()
    if given.run:
        run(given.run)
        return
    print("| pictures | download | peak | shard | peak | DVC adds | nothing changed |")
    print("|---|---|---|---|---|---|---|")
    for count in given.counts:
        root = Path(tempfile.mkdtemp(prefix="mien-many-", dir=os.environ.get("TMPDIR")))
        try:
            m = measured(root, count)
        finally:
            shutil.rmtree(root)
        rates = [
            f"{count / m[f'{s}_seconds']:,.0f}/s | {m[f'{s}_peak_mib']:,.0f} MiB"
            for s in ("download", "shard")
        ]
        print(
            f"| {count:,} | {' | '.join(rates)} | {m['dvc_seconds']:.0f} s | {m['again_seconds']:.1f} s |",
            flush=True,
        )


if __name__ == "__main__":
    main()
