"""Stage `align`: the face in each picture is found and cut out, on Ray Data."""

from pathlib import Path

from mien.cluster.align import align_corpus
from mien.config import load_params, run_stage
from mien.corpora import picture_root


def main(name: str, corpus: str, aligned: str) -> None:
    params = load_params()
    root = picture_root(params.corpora[name], Path(corpus))
    manifest = Path(corpus) / "manifest.parquet"
    align_corpus(name, root, manifest, Path(aligned), params.align, params.cluster)


if __name__ == "__main__":
    run_stage(main)
