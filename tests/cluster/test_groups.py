"""What a failed cell leaves for the process that runs the stage."""

from types import SimpleNamespace

import pytest

from mien.cluster.groups import FAILED, raise_failed
from mien.config import MienError
from mien.config.train import Cell
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
