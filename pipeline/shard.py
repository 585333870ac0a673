"""Stage `shard`: aligned faces -> tar shards, the index that later stages count by, Croissant metadata."""

from pathlib import Path

from mien.config import load_params, run_stage
from mien.manifest.tables import is_gated
from mien.shards.croissant import write_croissant
from mien.shards.writer import write_shards


def main(name: str, corpus: str, aligned: str, landmarks: str, shards: str) -> None:
    params, manifest = load_params(), Path(corpus) / "manifest.parquet"
    write_shards(
        name,
        manifest=manifest,
        aligned=Path(aligned),
        landmarks=Path(landmarks) / "points.parquet",
        into=Path(shards),
        params=params.shard,
    )
    write_croissant(Path(shards), params.corpora[name].kind, is_gated(manifest))


if __name__ == "__main__":
    run_stage(main)
