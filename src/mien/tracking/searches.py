"""A search in MLflow: a run for the search, below it one for each trial; found again by their tags."""

import logging
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Param, RunTag

from mien.tracking.experiment import facts
from mien.tracking.identity import scalars
from mien.tracking.metric_log import MetricLog, Point
from mien.tracking.server import NOTE, UNREACHABLE, connect, experiment_id, shown
from mien.training.searching import SearchPlan
from mien.training.trials import Trial, best_of

OBJECTIVE, BEST = "objective", "best objective"
_ENDED = "mien.described"

log = logging.getLogger(__name__)


def track_search(search: SearchPlan, root: Path) -> "SearchTracker":
    """A tracker for a search. `root` is the repository."""
    return SearchTracker(connect(root), search, root)


class SearchTracker:
    """Logs each trial when it has ended; a server that is away delays runs, never trials."""

    def __init__(self, client: MlflowClient, search: SearchPlan, root: Path) -> None:
        self._client, self._search, self._root = client, search, root
        self._facts = facts(search.plan, root)
        self._metrics = MetricLog(client)
        self._runs: dict[str, str] = {}  # by tag value, checked against the server by this process
        self._waiting: list[Trial] = []

    def __call__(self, trial: Trial) -> None:
        """Log a trial that has ended, and those that an outage has left out."""
        self._waiting.append(trial)
        self._attempt()

    def finish(self, trials: Iterable[Trial]) -> dict[str, Any]:
        """Send what is missing, close the search's run; where all of it is."""
        found = list(trials)
        sent = self._attempt() and self._attempt(found)
        if not sent:
            log.warning(
                "MLflow at %s could not be reached: runs of this search are missing there; they are sent "
                "when this stage runs again.",
                shown(self._client.tracking_uri),
            )
        return {
            "tracking_uri": shown(self._client.tracking_uri),
            "parent_run_id": self._runs.get(""),
            "complete": sent,
        }

    def _attempt(self, ended: list[Trial] | None = None) -> bool:
        try:
            while self._waiting:
                self._log(self._waiting[0])
                self._waiting.pop(0)
            if ended is not None:
                self._close(ended)
        except UNREACHABLE as error:
            log.warning(
                "MLflow does not answer (%s); the search goes on.", " ".join(str(error).split())[:160]
            )
            return False
        return True

    def _log(self, trial: Trial) -> None:
        """A trial's run, whole; the tag that says so is last, so a cut is made good."""
        run_id = self._run(trial.name, f"{self._search.experiment} trial {trial.number}")
        if self._client.get_run(run_id).data.tags.get(_ENDED) == "yes":
            return
        params = [Param(key, value) for key, value in scalars(trial.settings).items()]
        tags = {"state": trial.state, "number": str(trial.number), "error": trial.sentence[:500]}
        told = [RunTag(key, value) for key, value in tags.items() if value]
        self._client.log_batch(run_id, params=params, tags=told, synchronous=True)
        now = time.time()
        points = [Point(run_id, OBJECTIVE, rung, value, now) for rung, value in (trial.rungs or {}).items()]
        if trial.value is not None:
            points.append(Point(run_id, OBJECTIVE, trial.length, trial.value, now))
        points += [
            Point(run_id, "seconds", 0, trial.seconds, now),
            Point(run_id, "length", 0, trial.length, now),
        ]
        self._metrics.send(points)
        self._client.set_terminated(run_id, "FAILED" if trial.state == "failed" else "FINISHED")
        self._client.set_tag(run_id, _ENDED, "yes")

    def _close(self, trials: list[Trial]) -> None:
        run_id, best = self._run("", f"{self._search.experiment} search"), best_of(trials)
        now, value = time.time(), best.value or 0.0
        params = [Param(f"best.{key}", text) for key, text in scalars(best.settings).items()]
        known = self._client.get_run(run_id).data.params
        if not known:  # MLflow refuses another value of a param; a longer search makes tags and metrics only
            self._client.log_batch(run_id, params=params, synchronous=True)
        stopped = sum(trial.state == "stopped" for trial in trials)
        counts = {"trials": len(trials), "stopped": stopped, BEST: value}
        self._metrics.send(Point(run_id, key, len(trials), float(n), now) for key, n in counts.items())
        self._client.set_tag(run_id, "best_trial", str(best.number))
        self._client.set_terminated(run_id, "FINISHED")

    def _run(self, trial: str, title: str) -> str:
        """The run of a trial, or with "" of the search: the one that bears its tags, else a new one."""
        if trial in self._runs:
            return self._runs[trial]
        above = {"mlflow.parentRunId": self._run("", f"{self._search.experiment} search")} if trial else {}
        own = {"kind": "trial" if trial else "search", "search": self._search.digest[:32]}
        own |= {"trial": trial} if trial else {}
        place = experiment_id(self._client, self._root)
        wanted = " and ".join(f"tags.`{key}` = '{value}'" for key, value in own.items())
        found = self._client.search_runs([place], filter_string=wanted, max_results=1)
        if found:
            run_id = str(found[0].info.run_id)
        else:
            tags = {**self._facts.tags(), **own, **above, "mlflow.source.name": "mien"}
            tags |= {} if trial else {NOTE: self._note()}
            made = self._client.create_run(place, int(time.time() * 1000), tags=tags, run_name=title)
            run_id = str(made.info.run_id)
            self._client.log_inputs(run_id, [self._facts.dataset.as_input()])
        if not trial:
            self._client.update_run(run_id, status="RUNNING")
        self._runs[trial] = run_id
        return run_id

    def _note(self) -> str:
        search = self._search
        return (
            f"Settings of `{search.plan.method}` for `{search.experiment}`, each trial a run below this one: "
            f"{search.objective} on {search.faces['validation']} validation faces. No face that the "
            "experiment tests was read."
        )
