"""Stage `evaluate`: predictions, checked against the index, become figures with intervals."""

from pathlib import Path

from mien.config import load_params, run_stage
from mien.evaluation.stage import evaluate_experiment


def main(experiment: str, shards: str, run: str, results: str) -> None:
    evaluate_experiment(experiment, Path(shards), Path(run), Path(results), load_params())


if __name__ == "__main__":
    run_stage(main)
