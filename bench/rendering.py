"""Pictures a second of the rendered corpus over all cores, and the CPU time of one: JPEG, manifest and the
start of the processes included.
"""

import argparse
import json
import os
import resource
import tempfile
import time
from pathlib import Path

from mien.config.corpora import RenderedCorpus
from mien.corpora.rendered import render_corpus

SEVEN = ["neutral", "happy", "sad", "surprise", "fear", "disgust", "anger"]
PEOPLE, LAB, WILD = 8, 2, 4


def spent() -> float:
    """CPU-seconds of this process and of those it has started and seen end."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, kinds))


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--json", type=Path)
    wanted = words.parse_args()
    basis = Path("data/basis")
    with tempfile.TemporaryDirectory() as folder:
        # the first run pays for the basis, which later runs read from its cache
        one = RenderedCorpus(kind="rendered", people=1, lab_pictures=1, expressions=SEVEN)
        render_corpus("warm", one, Path(folder) / "warm", basis)
        some = RenderedCorpus(
            kind="rendered", people=PEOPLE, lab_pictures=LAB, wild_pictures=WILD, expressions=SEVEN
        )
        began, before = time.perf_counter(), spent()
        render_corpus("bench", some, Path(folder) / "bench", basis)
        seconds, work = time.perf_counter() - began, spent() - before
    pictures = PEOPLE * len(SEVEN) * (LAB + WILD)
    rate = pictures / seconds
    print(
        "| rendering | pictures | cores | pictures a second | CPU-seconds a picture |\n|---|---|---|---|---|"
    )
    print(f"| {some.picture_px} px | {pictures} | {os.cpu_count()} | {rate:.1f} | {work / pictures:.3f} |")
    if wanted.json:
        figures = {"pictures_per_second": rate, "pictures": pictures, "cpu_s_per_picture": work / pictures}
        wanted.json.write_text(json.dumps(figures))


if __name__ == "__main__":
    main()
