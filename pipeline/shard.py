"""Stage `shard`: aligned faces -> tar shards, and the index that every later stage counts by."""

from pathlib import Path

from mien.config import load_params, run_stage
from mien.shards.writer import write_shards


def main(name: str, corpus: str, aligned: str, landmarks: str, shards: str) -> None:
    params = load_params()
    write_shards(
        name,
        manifest=Path(corpus) / "manifest.parquet",
        aligned=Path(aligned),
        landmarks=Path(landmarks) / "points.parquet",
        into=Path(shards),
        params=params.shard,
        gated=params.corpora[name].gated,
    )


if __name__ == "__main__":
    run_stage(main)
