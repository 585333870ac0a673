"""Memory of the stages that go through all pictures, after a fifth of them and at the end of one run of each.

A stage whose memory grows with the corpus would show a higher figure at the end. Counted is the proportional
set size of the stage's process and all below it (what they share is counted once). Small rendered faces:
4,000, of which `align` reads each five times under other keys.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from mien.cluster.align import align_corpus
from mien.config.corpora import EXPRESSIONS, RenderedCorpus
from mien.config.faces import Align
from mien.config.train import Cluster
from mien.corpora.rendered import render_corpus
from mien.manifest.tables import MANIFEST, read_table, write_table

PEOPLE, LAB, WILD, SIDE_PX = 20, 10, 15, 64
EACH = len(EXPRESSIONS) * (LAB + WILD)
COPIES = 5
EARLY, LATE = 0.2, 0.8  # shares of the pictures: until the one, and from the other on
SAMPLE_S = 1.0


def run(stage: str, folder: Path, people: int, copies: int) -> None:
    """One stage, as its script runs it."""
    corpus = folder / "corpus"
    if stage == "render":
        wanted = {"picture_px": SIDE_PX, "lab_pictures": LAB, "wild_pictures": WILD}
        some = RenderedCorpus(kind="rendered", people=people, expressions=list(EXPRESSIONS), **wanted)
        render_corpus("bench", some, corpus, Path("data/basis"))
        return
    manifest = folder / "repeated.parquet"
    write_table(repeated(read_table(corpus / "manifest.parquet", MANIFEST), copies), manifest, MANIFEST)
    settings = Align(crop_px=48, max_reject_share=0.99)
    cluster = Cluster(storage=str(folder / "storage"), object_store_mb=100)
    align_corpus("bench", corpus, manifest, folder / "aligned", settings, cluster)


def repeated(table: pa.Table, copies: int) -> pa.Table:
    """Each row several times, under other keys."""
    at = table.column_names.index("key")
    named = [[f"{key}-{n}" for key in table.column("key").to_pylist()] for n in range(copies)]
    field = table.schema.field("key")
    return pa.concat_tables([table.set_column(at, field, pa.array(keys)) for keys in named])


def rendered(folder: Path) -> int:
    """Pictures of the people who are finished."""
    return EACH * len(list((folder / "corpus").glob(".unfinished/*/p*.json")))


def aligned(folder: Path) -> int:
    """Rows of the parts that are finished."""
    parts = (folder / "storage" / "parts").glob("*/part-*.parquet")
    return sum(pq.read_metadata(part).num_rows for part in parts)


def memory_mib(pid: int) -> float:
    """Of a process and all below it."""
    total = 0
    for process in (top := psutil.Process(pid), *top.children(recursive=True)):
        try:
            total += process.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue  # it has just ended
    return total / 2**20


def watched(
    stage: str, folder: Path, people: int, copies: int, done: Callable[[Path], int]
) -> list[tuple[int, float]]:
    """(pictures done, MiB) once a second while a stage runs; the last ones with all pictures done."""
    words = [sys.executable, __file__, "--run", stage, "--folder", str(folder)]
    words += ["--people", str(people), "--copies", str(copies)]
    samples, number = [], 0
    process = subprocess.Popen(words)
    while process.poll() is None:
        number = max(number, done(folder))  # at its end a stage clears its parts away
        samples.append((number, memory_mib(process.pid)))
        time.sleep(SAMPLE_S)
    if process.returncode:
        sys.exit(process.returncode)
    return samples


def row(samples: list[tuple[int, float]], pictures: int) -> dict[str, float]:
    """MiB: medians and peaks of the samples until a fifth was done, and of the last fifth; the whole peak.

    Samples from before the first picture are processes that start, those after the last one that they end.
    """
    early = [mib for number, mib in samples if 0 < number <= EARLY * pictures]
    late = [mib for number, mib in samples if LATE * pictures <= number < pictures]
    figures = {"early": statistics.median(early), "late": statistics.median(late)}
    return figures | {"peak_early": max(early), "peak_late": max(late), "peak": max(m for _, m in samples)}


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--json", type=Path)
    words.add_argument("--people", type=int, default=PEOPLE, help=f"10 or more; {EACH} pictures each")
    words.add_argument("--copies", type=int, default=COPIES, help="how often `align` reads each of them")
    words.add_argument("--run", choices=("render", "align"), help=argparse.SUPPRESS)
    words.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    wanted = words.parse_args()
    if wanted.run:
        run(wanted.run, wanted.folder, wanted.people, wanted.copies)
        return
    size = {"render": wanted.people * EACH, "align": wanted.people * EACH * wanted.copies}
    rows = {}
    print("| memory, MiB | pictures | first fifth: median, peak | last fifth: median, peak | peak |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="mien-memory-") as name:
        for stage, done in (("render", rendered), ("align", aligned)):
            samples = watched(stage, Path(name), wanted.people, wanted.copies, done)
            told = rows[stage] = row(samples, size[stage])
            early, late = (f"{told[k]:.0f}, {told[f'peak_{k}']:.0f}" for k in ("early", "late"))
            print(f"| {stage} | {size[stage]:,} | {early} | {late} | {told['peak']:.0f} |", flush=True)
    if wanted.json:
        wanted.json.write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
