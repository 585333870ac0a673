"""The report's figures of one experiment, for its MLflow run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mien.config.train import Experiment
from mien.evaluation import figures
from mien.evaluation.one_class.outcomes import OneClassOutcome
from mien.evaluation.one_class.section import draw_ratio, picture_name
from mien.evaluation.outcomes import curves_of
from mien.evaluation.predictions import CURVES, CURVES_FILE
from mien.evaluation.results import SCORES, read_json
from mien.manifest.tables import read_table


def drawings(entry: Experiment, run: Mapping[str, Any], folder: Path, results: Path) -> dict[str, bytes]:
    """PNG by name: confusion matrix and curves, or of a one-class experiment the ratio study of each trial.

    `folder`: the experiment's, where `run` stands as run.json; results: that of its scores.json.
    """
    name, scores = run["experiment"], read_json(results / SCORES)
    if run["scores"]:
        alone = [OneClassOutcome(name, entry, scores, run, folder, parameters=None)]
        return {picture_name(entry.corpus, trial): draw_ratio(alone, trial) for trial in alone[0].trials}
    points = read_table(folder / CURVES_FILE, CURVES).to_pylist()
    return figures.of_experiment(name, scores, curves_of(points))
