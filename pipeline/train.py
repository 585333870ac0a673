"""Stage `train`: an experiment's folds and seeds -> weights, predictions and curves, followed by MLflow."""

from pathlib import Path

from mien.cluster.train import train_experiment
from mien.config import MienError, load_params, run_stage
from mien.tracking.experiment import finished, track
from mien.training.kept import fetched, prune, write_run
from mien.training.plan import make_plan
from mien.training.trials import with_tuned


def main(experiment: str, shards: str, into: str, tuned: str) -> None:
    plan = make_plan(with_tuned(load_params(), experiment, Path(tuned)), experiment, Path(shards))
    tracker = track(plan, root=Path.cwd())
    try:
        train_experiment(plan, on_report=tracker)
    except MienError as error:
        tracker.finish([], failed=str(error))
        raise
    with fetched(plan) as kept:
        write_run(plan, kept, Path(into), tracker.finish(finished(plan, kept)))
    prune(plan)


if __name__ == "__main__":
    run_stage(main)
