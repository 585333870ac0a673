"""Face detection in batches against one by one, at 256 px: the same boxes, and how much faster.

    python bench/detection.py [--pictures 64] [--batch 16] [--rounds 3] [--threads 1] [--json FILE]

The pictures are guises of the photograph that scikit-image ships, on one thread, as a worker of the stage
has it; facenet-pytorch's own cascade stands beside ours.
Rounds alternate, so that other work on the machine slows all rows alike; each row is its best round.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from facenet_pytorch import MTCNN

from mien.faces.detect import Faces
from mien.faces.mtcnn import Mtcnn

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "faces"))
from photographs import guises

SIDE_PX, MIN_FACE_PX = 256, 20
Detect = Callable[[Sequence[np.ndarray]], list[Faces]]


def in_batches(detect: Detect, pictures: Sequence[np.ndarray], size: int) -> tuple[list[Faces], float]:
    """What is found, and how many pictures a second."""
    begun = perf_counter()
    found = [faces for k in range(0, len(pictures), size) for faces in detect(pictures[k : k + size])]
    return found, len(pictures) / (perf_counter() - begun)


def library() -> Detect:
    """facenet-pytorch's MTCNN behind our face."""
    mtcnn = MTCNN(keep_all=True, min_face_size=MIN_FACE_PX)

    def detect(pictures: Sequence[np.ndarray]) -> list[Faces]:
        boxes, scores, five = mtcnn.detect(np.stack(pictures), landmarks=True)
        kept = [
            Faces.none() if b is None else Faces(b, s, f) for b, s, f in zip(boxes, scores, five, strict=True)
        ]
        orders = [np.argsort(-faces.scores.astype(float), kind="stable") for faces in kept]
        return [Faces(f.boxes[o], f.scores[o], f.five[o]) for f, o in zip(kept, orders, strict=True)]

    return detect


def largest_difference(one: Sequence[Faces], other: Sequence[Faces]) -> float:
    """In px over boxes and points; infinite where a picture has another number of faces."""
    worst = 0.0
    for a, b in zip(one, other, strict=True):
        if len(a) != len(b):
            return float("inf")
        if len(a):
            worst = max(worst, float(np.abs(a.boxes.astype(float) - b.boxes.astype(float)).max()))
            worst = max(worst, float(np.abs(a.five.astype(float) - b.five.astype(float)).max()))
    return worst


def main() -> None:
    """Measure, print a table, and write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pictures = guises(options.pictures, SIDE_PX)
    ours, theirs = Mtcnn(MIN_FACE_PX).detect, library()
    rows = {
        "one by one": (ours, 1),
        f"batches of {options.batch}": (ours, options.batch),
        "facenet-pytorch, one by one": (theirs, 1),
        f"facenet-pytorch, batches of {options.batch}": (theirs, options.batch),
    }
    found, rates = {}, dict.fromkeys(rows, 0.0)
    for detect, size in rows.values():
        in_batches(detect, pictures[: 2 * size], size)  # warm up
    for _ in range(options.rounds):
        for name, (detect, size) in rows.items():
            found[name], rate = in_batches(detect, pictures, size)
            rates[name] = max(rates[name], rate)
    single, batched = list(rows)[:2]
    report = {
        "pictures": options.pictures,
        "side_px": SIDE_PX,
        "threads": torch.get_num_threads(),
        "pictures_per_second": {name: round(rate, 1) for name, rate in rates.items()},
        "batched_to_single": round(rates[batched] / rates[single], 2),
        "largest_difference_px": largest_difference(found[single], found[batched]),
        "largest_difference_to_facenet_pytorch_px": largest_difference(found[single], found[list(rows)[2]]),
    }
    print(table(report))
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def table(report: dict) -> str:
    """The report as markdown."""
    rates = report["pictures_per_second"]
    first = next(iter(rates.values()))
    lines = [
        f"| MTCNN at {report['side_px']} px, threads: {report['threads']} | pictures/s | ratio |",
        "|---|---|---|",
    ]
    lines += [f"| {name} | {rate:.1f} | {rate / first:.2f} |" for name, rate in rates.items()]
    lines += [
        "",
        f"Batched against one by one, they differ by {report['largest_difference_px']:.2g} px at most; "
        f"from facenet-pytorch's by {report['largest_difference_to_facenet_pytorch_px']:.2g} px.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
