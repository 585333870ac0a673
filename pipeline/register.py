"""Stage `register`: an experiment's best model becomes a version in the MLflow registry."""

from pathlib import Path

from mien.config import load_params, run_stage
from mien.evaluation.results import write_json
from mien.tracking.registry import register


def main(experiment: str, run: str, results: str, into: str) -> None:
    version = register(experiment, Path(run), Path(results), load_params(), root=Path.cwd())
    write_json(version, Path(into))


if __name__ == "__main__":
    run_stage(main)
