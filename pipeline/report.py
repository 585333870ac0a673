"""Stage `report`: everything that was made becomes one page, one table and plots."""

from pathlib import Path

from mien.config import load_params, run_stage
from mien.evaluation.report import build_report
from mien.tracking.identity import code_tags


def main(data: str, results: str, runs: str, tuned: str, reports: str) -> None:
    commit, params = code_tags(Path.cwd())["git_commit"], load_params()
    build_report(Path(data), Path(results), Path(runs), Path(reports), params, commit, Path(tuned))


if __name__ == "__main__":
    run_stage(main)
