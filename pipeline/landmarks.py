"""Stage `landmarks`: 68 points on each crop, compared with the given ones where the corpus has them."""

from pathlib import Path

from mien.cluster.landmarks import place_landmarks
from mien.config import load_params, run_stage


def main(name: str, corpus: str, aligned: str, landmarks: str) -> None:
    place_landmarks(name, Path(corpus) / "manifest.parquet", Path(aligned), Path(landmarks), load_params())


if __name__ == "__main__":
    run_stage(main)
