"""Reports on their way through a file."""

from pathlib import Path

from mien.cluster.relay import NODE, REPORTS, SYSTEM, Relay, Tail, merged
from mien.config.train import Cell
from mien.training.reports import CellReport


def report(epoch: int) -> CellReport:
    return CellReport("demo", Cell(0, 1), "fer", epoch, 3, {"train_loss": 0.1}, 0.5, 5.0)


def test_what_the_controller_writes_the_driver_reads_once(tmp_path: Path):
    path = tmp_path / "reports.jsonl"
    tail, relay = Tail(path), Relay(path)
    assert list(tail.new()) == []
    relay.after_report(None, [{REPORTS: [report(0).to_json()]}], None)
    relay.after_report(None, [{REPORTS: [report(1).to_json(), report(2).to_json()]}], None)
    assert list(tail.new()) == [report(0), report(1), report(2)]
    assert list(tail.new()) == []
    line = report(3).to_json() + "\n"
    with path.open("a") as file:
        file.write(line[:20])
        file.flush()
        assert list(tail.new()) == []
        file.write(line[20:])
    assert list(tail.new()) == [report(3)]


def test_the_load_of_each_machine_is_kept_apart_and_told_once_a_report():
    ranks = [
        {REPORTS: [report(0).to_json(), report(1).to_json()], SYSTEM: {"cpu": 10.0}, NODE: 0},
        {},
        {SYSTEM: {"cpu": 90.0}, NODE: 1},
    ]
    earlier, newest = merged(ranks)
    assert earlier == report(0)
    assert (newest.epoch, newest.system) == (1, {"cpu": 10.0, "node1/cpu": 90.0})
