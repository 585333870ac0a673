"""MetricLog against a server that fails in the middle of a call."""

import math
from types import SimpleNamespace

import pytest
from mlflow.entities import Metric

from mien.tracking.metric_log import BATCH, MetricLog, Point


class Server:
    """As much of a server as MetricLog calls; after `break_after` points it dies in the middle of a batch."""

    def __init__(self, break_after: int | None = None) -> None:
        self.rows: list[Metric] = []
        self.sizes: list[int] = []
        self.break_after = break_after

    def log_batch(self, run_id: str, metrics: list[Metric], synchronous: bool) -> None:
        self.sizes.append(len(metrics))
        for metric in metrics:
            if self.break_after is not None and len(self.rows) >= self.break_after:
                raise ConnectionError("gone")
            self.rows.append(metric)

    def get_run(self, run_id: str) -> SimpleNamespace:
        return SimpleNamespace(data=SimpleNamespace(metrics={m.key: m.value for m in self.rows}))

    def get_metric_history(self, run_id: str, key: str) -> list[Metric]:
        return [m for m in self.rows if m.key == key]


def points(steps: range, key: str = "fer/loss") -> list[Point]:
    return [Point("run", key, step, step / 10, 1.0) for step in steps]


def test_a_point_that_comes_twice_is_logged_once():
    server = Server()
    log = MetricLog(server)
    log.send(points(range(5)))
    log.send(points(range(3, 8)))
    assert [m.step for m in server.rows] == list(range(8))


def test_after_a_batch_was_cut_the_rest_is_sent_and_nothing_twice():
    server = Server(break_after=3)
    log = MetricLog(server)
    with pytest.raises(ConnectionError):
        log.send(points(range(8)))
    server.break_after = None
    log.send(points(range(8)))
    assert [m.step for m in server.rows] == list(range(8))


def test_a_new_process_asks_what_is_there():
    server = Server()
    MetricLog(server).send(points(range(4)))
    MetricLog(server).send(points(range(6)))
    assert [m.step for m in server.rows] == list(range(6))


def test_no_call_is_larger_than_a_server_takes():
    server = Server()
    MetricLog(server).send(points(range(2 * BATCH + 1)))
    assert server.sizes == [BATCH, BATCH, 1]


def test_what_is_not_a_number_stays_out():
    server = Server()
    MetricLog(server).send([Point("run", "loss", 0, math.nan, 1.0), Point("run", "loss", 1, 0.5, 1.0)])
    assert [m.step for m in server.rows] == [1]
