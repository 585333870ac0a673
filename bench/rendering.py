"""Pictures a second of the rendered corpus, over all cores, JPEG and manifest included."""

import os
import sys
import tempfile
import time
from pathlib import Path

from mien.config.corpora import RenderedCorpus
from mien.corpora.rendered import render_corpus


def main() -> None:
    basis = Path("data/basis")
    small = dict(
        kind="rendered", expressions=["neutral", "happy", "sad", "surprise", "fear", "disgust", "anger"]
    )
    with tempfile.TemporaryDirectory() as folder:
        # the first run pays for the basis, which later runs read from its cache
        render_corpus("warm", RenderedCorpus(people=1, lab_pictures=1, **small), Path(folder) / "warm", basis)
        config = RenderedCorpus(people=8, lab_pictures=2, wild_pictures=4, **small)
        began = time.perf_counter()
        render_corpus("bench", config, Path(folder) / "bench", basis)
        seconds = time.perf_counter() - began
    pictures = 8 * 7 * 6
    print(
        f"| rendering | {pictures} pictures of {config.picture_px} px | {os.cpu_count()} cores | {pictures / seconds:.1f} pictures/s |"
    )


if __name__ == "__main__":
    sys.exit(main())
