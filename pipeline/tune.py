"""Stage `tune`: settings of an experiment, searched for on faces that it does not test, if that is asked."""

from pathlib import Path

from mien.config import load_params, run_stage


def main(experiment: str, shards: str, into: str) -> None:
    params = load_params()
    if experiment not in params.searches:  # most are not, and a stage should not take seconds to say so
        Path(into).parent.mkdir(exist_ok=True)
        Path(into).write_text("{}\n")
        return
    from mien.cluster.tune import run_search
    from mien.tracking.searches import track_search
    from mien.training.searching import make_search
    from mien.training.trials import prune_search, write_tuned

    search = make_search(params, experiment, Path(shards))
    tracker = track_search(search, root=Path.cwd())
    trials = run_search(search, on_trial=tracker)
    write_tuned(Path(into), search, trials, tracker.finish(trials))
    prune_search(search)


if __name__ == "__main__":
    run_stage(main)
