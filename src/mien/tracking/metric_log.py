"""Metrics reach the server once each, whatever happens to it or to us in between."""

import math
from collections.abc import Iterable
from typing import NamedTuple

from mlflow import MlflowClient
from mlflow.entities import Metric

BATCH = 1000
"""The most metrics that a server takes in one call."""


class Point(NamedTuple):
    """One value of one metric of one run."""

    run_id: str
    key: str
    step: int
    value: float
    at: float  # Unix time, s


class MetricLog:
    """Sends points, skipping those the server already has.

    A call that fails may have written a part: what the server has is then asked anew before the next one.
    """

    def __init__(self, client: MlflowClient) -> None:
        self._client = client
        self._known: dict[str, set[tuple[str, int]]] = {}

    def send(self, points: Iterable[Point]) -> None:
        """Log what is not there yet; raises what the client raises, and may then be called again."""
        by_run: dict[str, dict[tuple[str, int], Point]] = {}
        for point in points:
            if math.isfinite(point.value):  # a server's database refuses NaN; the curves keep it
                by_run.setdefault(point.run_id, {}).setdefault((point.key, point.step), point)
        for run_id, wanted in by_run.items():
            known = self._known.pop(run_id, None)  # put back only after a call that went well
            known = self._on_server(run_id) if known is None else known
            new = [point for key, point in wanted.items() if key not in known]
            for start in range(0, len(new), BATCH):
                self._client.log_batch(
                    run_id, metrics=[_metric(p) for p in new[start : start + BATCH]], synchronous=True
                )
            self._known[run_id] = known | {(p.key, p.step) for p in new}

    def _on_server(self, run_id: str) -> set[tuple[str, int]]:
        keys = self._client.get_run(run_id).data.metrics
        return {(key, metric.step) for key in keys for metric in self._client.get_metric_history(run_id, key)}


def _metric(point: Point) -> Metric:
    return Metric(point.key, point.value, int(point.at * 1000), point.step)
