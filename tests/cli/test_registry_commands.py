"""`mien promote`, `rollback`, `compare` and `retrain` as typed: help, and exit codes for schedulers."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mien.cli import promote, registry_commands, retrain
from mien.cli.app import app
from mien.cli.retrain import Outcome, Retraining
from mien.config import MienError
from mien.tracking.records import Record
from tests.evaluation import tree


@pytest.mark.parametrize("command", ["promote", "rollback", "compare", "retrain"])
def test_every_command_has_help_with_an_example(command: str) -> None:
    done = CliRunner().invoke(app, [command, "--help"])
    assert done.exit_code == 0
    assert f"Example: mien {command}" in " ".join(done.stdout.split())


@pytest.mark.parametrize(("decision", "code"), [("promoted", 0), ("already champion", 0), ("kept", 11)])
def test_promote_tells_a_script_who_is_champion(
    decision: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def promoted(root: Path, model: str, refreeze: bool) -> Record:
        return Record(model, decision, None, 3, 1, "because.")

    monkeypatch.setattr(promote, "promote_version", promoted)
    done = CliRunner().invoke(app, ["promote", "svm"])
    assert (done.exit_code, done.stdout.strip()) == (code, f"svm 3 {decision}: because.")


def test_a_one_class_experiment_has_no_champion() -> None:
    entry = {"corpus": "toy", "second_corpus": "toy", "folds": [0], "method": "hs_ocfer", "trials": [{}]}
    params = tree.params(methods={"hs_ocfer": {}, "resnet18": {}}, experiments={"alone": entry})
    promote.refuse_one_class(params, "another")
    with pytest.raises(MienError, match=r"alone learns one class at a time.*`mien compare`"):
        promote.refuse_one_class(params, "alone")


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (Outcome.NOTHING_NEW, 0),
        (Outcome.PROMOTED, 10),
        (Outcome.KEPT, registry_commands.KEPT),
        (Outcome.BUSY, 12),
    ],
)
def test_retrain_tells_a_scheduler_what_came_of_it(
    outcome: Outcome, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def retrained(*_: Any) -> Retraining:
        return Retraining(outcome, ["nothing new in photos"])

    monkeypatch.setattr(retrain, "retrain", retrained)
    done = CliRunner().invoke(app, ["retrain"])
    assert done.exit_code == code
