"""`mien train NAME --until PHASE`: the first phases of an experiment, their weights kept for use alone."""

import logging
import sys
from pathlib import Path

from mien.cluster.train import train_experiment
from mien.config import MienError, Params, load_params
from mien.methods import method_class
from mien.training.kept import fetched, write_run
from mien.training.plan import make_plan
from mien.training.trials import with_tuned


def train_until(root: Path, experiment: str, phase: str) -> Path:
    """Train all cells of an experiment up to a phase, from shards that are there; where their weights are.

    It stands beside the experiment's own results and takes no part in `dvc repro`.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    tuned = root / "tuned" / f"{experiment}.json"
    params = until(with_tuned(load_params(root / "params.yaml"), experiment, tuned), experiment, phase)
    plan = make_plan(params, experiment, root / "data" / "shards")
    train_experiment(plan)
    into = root / "runs" / f"{experiment}-until-{phase}"
    with fetched(plan) as kept:
        write_run(plan, kept, into, {})
    return into


def until(params: Params, experiment: str, phase: str) -> Params:
    """The parameters with an experiment that ends after a phase. MienError: its method has no such phase."""
    entry = params.experiments[experiment]
    field = method_class(entry.method).Config.model_fields.get("until")
    if field is None:
        raise MienError(f"{entry.method} cannot be stopped between its phases; leave out --until.")
    shorter = entry.model_copy(update={"settings": {**entry.settings, "until": phase}})
    return params.model_copy(update={"experiments": {**params.experiments, experiment: shorter}})
