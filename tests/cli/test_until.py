"""`mien train NAME --until PHASE`: what is asked of the plan."""

from pathlib import Path

import pytest

from mien import methods
from mien.cli.until import until
from mien.config import MienError, load_params

DEMO = Path(__file__).parents[2] / "presets" / "demo.yaml"


def test_the_experiment_ends_after_the_phase_and_no_other_changes() -> None:
    params = load_params(DEMO)
    name = next(n for n, entry in params.experiments.items() if entry.method == "sna")
    short = until(params, name, "refinement")
    config = methods.settings(short, name)
    phases = methods.build("sna", config, ("a", "b")).phases()
    assert [phase.name for phase in phases] == ["baseline", "autoencoder", "refinement"]
    others = {n: e for n, e in params.experiments.items() if n != name}
    assert {n: e for n, e in short.experiments.items() if n != name} == others
    with pytest.raises(MienError, match=r"until is 'later'"):
        methods.settings(until(params, name, "later"), name)


def test_a_method_without_phases_to_stop_at_says_so() -> None:
    params = load_params(DEMO)
    name = next(n for n, entry in params.experiments.items() if entry.method == "resnet18")
    with pytest.raises(MienError, match="cannot be stopped"):
        until(params, name, "classification")
