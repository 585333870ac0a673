"""Pictures a second of the rendered corpus, over all cores, JPEG and manifest included."""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

from mien.config.corpora import RenderedCorpus
from mien.corpora.rendered import render_corpus

SEVEN = ["neutral", "happy", "sad", "surprise", "fear", "disgust", "anger"]
PEOPLE, LAB, WILD = 8, 2, 4


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
        began = time.perf_counter()
        render_corpus("bench", some, Path(folder) / "bench", basis)
        seconds = time.perf_counter() - began
    pictures = PEOPLE * len(SEVEN) * (LAB + WILD)
    rate = pictures / seconds
    print("| rendering | pictures | cores | pictures a second |\n|---|---|---|---|")
    print(f"| {some.picture_px} px | {pictures} | {os.cpu_count()} | {rate:.1f} |")
    if wanted.json:
        wanted.json.write_text(json.dumps({"pictures_per_second": rate, "pictures": pictures}))


if __name__ == "__main__":
    main()
