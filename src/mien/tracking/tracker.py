"""Follows a training: reports in, MLflow runs out. A server that is away delays figures, never training."""

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from mien.config.train import Cell
from mien.tracking.identity import Facts
from mien.tracking.metric_log import MetricLog, Point
from mien.tracking.runs import Runs
from mien.tracking.server import UNREACHABLE, shown
from mien.training.reports import CellReport
from mien.training.storage import Storage

RETRY_S = 15.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FinishedCell:
    """What a trained cell left behind."""

    cell: Cell
    curves: Iterable[tuple[str, int, str, float]]  # phase, epoch, name, value: the truth about its metrics
    files: tuple[Path, ...] = ()  # small artifacts
    summary: Mapping[str, float] = field(default_factory=dict)  # figures of the whole cell
    tags: Mapping[str, str] = field(default_factory=dict)


class Tracker:
    """Takes reports from any thread, logs them from its own; `finish` makes good what an outage left out."""

    def __init__(self, client: MlflowClient, facts: Facts, store: Storage) -> None:
        self._runs = Runs(client, facts, store)
        self._metrics = MetricLog(client)
        self._client = client
        self._waiting: list[CellReport] = []
        self._arriving: queue.SimpleQueue[CellReport | None] = queue.SimpleQueue()
        self._outages = 0
        self._away = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="mlflow", daemon=True)
        self._thread.start()

    def __call__(self, report: CellReport) -> None:
        """Take a report; returns at once."""
        self._arriving.put(report)

    def finish(self, cells: Iterable[FinishedCell], failed: str | None = None) -> dict[str, Any]:
        """Send what is missing, close the runs and give their ids. Says on stderr what could not be sent.

        `failed`: the training's error in a sentence; the runs are then marked FAILED.
        """
        self._stop()
        sent = self._attempt(lambda: self._close(list(cells), failed))
        if not sent:
            log.warning(
                "MLflow at %s could not be reached: its runs lack figures, which all stand in curves.parquet;"
                " they are sent when this stage runs again.",
                shown(self._client.tracking_uri),
            )
        elif self._outages:
            log.info("MLflow was away %d time(s); every figure has been sent since.", self._outages)
        return self._runs.ids() | {"complete": sent}

    def _close(self, cells: list[FinishedCell], failed: str | None) -> None:
        self._send()
        for done in cells:
            run_id = self._runs.child(done.cell)
            now = time.time()
            self._metrics.send(
                Point(run_id, f"{p}/{name}", epoch, value, now) for p, epoch, name, value in done.curves
            )
            self._metrics.send(Point(run_id, name, 0, value, now) for name, value in done.summary.items())
            for key, value in done.tags.items():
                self._client.set_tag(run_id, key, value)
            for file in done.files:
                self._client.log_artifact(run_id, str(file))
            self._client.set_terminated(run_id, "FINISHED")
        parent = self._runs.parent()
        self._metrics.send(
            Point(parent, f"mean {name}", 0, value, time.time()) for name, value in _means(cells).items()
        )
        if failed:
            self._client.set_tag(parent, "error", failed[:500])
        self._client.set_terminated(parent, "FAILED" if failed else "FINISHED")

    def _stop(self) -> None:
        self._closing.set()
        self._arriving.put(None)
        self._thread.join()

    def _follow(self) -> None:
        """The background thread: report after report, and a retry now and then while the server is away."""
        self._attempt(self._runs.parent)
        retry_at = 0.0
        while not self._closing.is_set():
            self._wait()
            if self._waiting and (not self._away or time.monotonic() >= retry_at):
                self._attempt(self._send)
                retry_at = time.monotonic() + RETRY_S
        self._take()

    def _wait(self) -> None:
        """Until a report arrives, for a while; what came with it is taken too, and goes in one call."""
        with contextlib.suppress(queue.Empty):
            self._take(self._arriving.get(timeout=RETRY_S))

    def _take(self, first: CellReport | None = None) -> None:
        self._waiting += [first] if first is not None else []
        while not self._arriving.empty():
            late = self._arriving.get()
            self._waiting += [late] if late is not None else []

    def _send(self) -> None:
        """Log all waiting reports; they wait on if the client raises."""
        points = [point for report in self._waiting for point in self._points(report)]
        self._metrics.send(points)
        self._waiting.clear()

    def _points(self, report: CellReport) -> list[Point]:
        run_id = self._runs.child(report.cell)
        named = {f"{report.phase}/{name}": value for name, value in report.values.items()}
        points = [Point(run_id, key, report.epoch, value, report.at) for key, value in named.items()]
        # a machine's load is drawn over time: its steps are seconds, or two phases would lie over each other
        return points + [
            Point(run_id, f"system/{key}", int(report.at), v, report.at) for key, v in report.system.items()
        ]

    def _attempt(self, call: Any) -> bool:
        try:
            call()
        except UNREACHABLE as error:
            if not self._away:
                self._outages += 1
                log.warning(
                    "MLflow does not answer (%s); training goes on and the figures wait.", _short(error)
                )
            self._away = True
            return False
        self._away = False
        return True


def _means(cells: Iterable[FinishedCell]) -> dict[str, float]:
    """The mean over the cells of each figure that all of them have."""
    summaries = [dict(done.summary) for done in cells]
    if not summaries:
        return {}
    shared = set(summaries[0]).intersection(*summaries)
    return {name: sum(summary[name] for summary in summaries) / len(summaries) for name in sorted(shared)}


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:160]
