"""What a failed cell leaves for the process that runs the stage."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from ray.train import TrainingFailedError, WorkerGroupError

from mien.cluster import groups
from mien.cluster.groups import ERROR, FAILED, raise_failed
from mien.cluster.handout import Handout
from mien.config import MienError
from mien.config.train import Cell, Train
from mien.training.reports import CellReport
from mien.training.storage import Storage


def test_epochs_that_a_failed_cell_had_not_told_are_told_before_its_sentence(tmp_path):
    plan = SimpleNamespace(experiment="tiny", store=Storage(str(tmp_path)))
    heard: list[CellReport] = []
    raise_failed(plan, None, heard.append)
    reports = [
        CellReport("tiny", Cell(0, 1), "fer", epoch, 9, {"train_loss": 1e9**epoch}, 0.1, 5.0)
        for epoch in range(3)
    ]
    untold = [report.to_json() for report in reports]
    plan.store.write_json(FAILED, {"cell": "fold0-seed1", "sentence": "HRN diverged.", "untold": untold})
    with pytest.raises(MienError, match=r"^tiny fold0-seed1: HRN diverged\.$"):
        raise_failed(plan, None, heard.append)
    assert heard == reports


class Answering:
    """Handout as an actor's handle, in this process."""

    def __init__(self, handout: Handout) -> None:
        self.handout = handout

    def __getattr__(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(remote=getattr(self.handout, name))


@pytest.fixture
def failed() -> TrainingFailedError:
    return WorkerGroupError("a worker died", {0: RuntimeError("a worker died")})


def test_a_group_that_fails_at_a_cell_begins_anew_with_the_other_experiments(
    failed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    handout, trained = Handout([{"experiment": name} for name in ("a", "a", "b")]), []

    def fit_group(run, config, train, callback) -> None:
        number = handout.next(config["group"], None)
        if handout.job(number)["experiment"] == "a":
            raise failed
        while number is not None:
            trained.append(number)
            number = handout.next(config["group"], number)

    monkeypatch.setattr(groups, "fit_group", fit_group)
    monkeypatch.setattr(groups.ray, "get", lambda answer: answer)
    assert groups._fit(Answering(handout), 0, Train(), tmp_path / "reports") == {"a": failed}
    assert trained == [2]


def test_a_group_that_fails_before_its_first_cell_is_not_begun_again(
    failed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fit_group(*words) -> None:
        raise failed

    monkeypatch.setattr(groups, "fit_group", fit_group)
    monkeypatch.setattr(groups.ray, "get", lambda answer: answer)
    with pytest.raises(TrainingFailedError):
        groups._fit(Answering(Handout([{"experiment": "a"}])), 0, Train(), tmp_path / "reports")


def test_what_workers_said_last_is_told_of_the_experiment_they_failed_at(failed, tmp_path: Path):
    plan = SimpleNamespace(
        experiment="tiny", store=Storage(str(tmp_path)), params=SimpleNamespace(train=Train(max_failures=2))
    )
    with pytest.raises(MienError, match=r"^training tiny failed after 2 restarts .*run again"):
        raise_failed(plan, failed, lambda report: None)
    assert "a worker died" in str(plan.store.read_json(ERROR))
