"""What several experiments lack, trained side by side; stage `train` then finds it kept.

That stage has one experiment at a time, whose few cells leave cores idle, and starts worker groups each time.
A process of its own (`mien repro` starts it), so that its Ray ends with it.
"""

import logging
import sys
from pathlib import Path

from mien.cli.stages import LEFT
from mien.cluster.train import train_experiments
from mien.config import MienError, load_params, run_stage
from mien.tracking.experiment import track
from mien.tracking.tracker import Tracker
from mien.training.plan import make_plan
from mien.training.reports import CellReport
from mien.training.trials import with_tuned

log = logging.getLogger(__name__)


def main(shards: str, tuned: str, *experiments: str) -> None:
    """Train experiments of params.yaml here, each with what its search found in `tuned`/NAME.json.

    What fails is told and left to its own stage, which tries again and tells MLflow; the exit code is LEFT.
    """
    params = load_params()
    plans = {
        name: make_plan(with_tuned(params, name, Path(tuned) / f"{name}.json"), name, Path(shards))
        for name in experiments
    }
    trackers: dict[str, Tracker] = {}

    def follow(report: CellReport) -> None:
        if report.experiment not in trackers:
            trackers[report.experiment] = track(plans[report.experiment], root=Path.cwd())
        trackers[report.experiment](report)

    try:
        train_experiments(list(plans.values()), on_report=follow)
    except MienError as error:
        log.warning("%s Its stage comes to it again.", error)
        sys.exit(LEFT)


if __name__ == "__main__":
    run_stage(main)
