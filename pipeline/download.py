"""Stage `download`: a corpus becomes a manifest; every setting is checked before the first stage works."""

from pathlib import Path

from mien.config import load_params, run_stage
from mien.config.progress import Progress
from mien.corpora import make_corpus


def main(name: str, corpus: str, basis: str) -> None:
    # here: processes that render import this script anew, and need no torch
    from mien import methods

    params = load_params()
    methods.check(params)
    make_corpus(name, params.corpora[name], Path(corpus), Path(basis), Progress(f"download {name}"))


if __name__ == "__main__":
    run_stage(main)
