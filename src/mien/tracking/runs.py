"""A parent run an experiment, a child run a cell; ids lie beside the checkpoints: restarts go on in them."""

import logging
import time
from typing import Any

import yaml
from mlflow import MlflowClient
from mlflow.entities import Param, RunTag
from mlflow.exceptions import MlflowException

from mien.config.train import Cell
from mien.tracking.identity import Facts, scalars
from mien.tracking.server import NOTE, experiment_id, shown
from mien.training.storage import Storage

IDS = "mlflow.json"
_DESCRIBED = "mien.described"
_PARAMS_A_CALL = 100

log = logging.getLogger(__name__)


class Runs:
    """The MLflow runs of one experiment. A method may raise what the client raises, and be called again."""

    def __init__(self, client: MlflowClient, facts: Facts, store: Storage) -> None:
        self.client = client
        self.facts = facts
        self._store = store
        self._ids: dict[str, Any] = store.read_json(IDS) or {}
        if self._ids.get("tracking_uri") != shown(client.tracking_uri):
            self._ids = {}  # ids of another server mean nothing here
        self._open: dict[str, str] = {}  # checked against the server by this process

    def parent(self) -> str:
        """The id of the experiment's run, made and described when it is not there."""
        return self._run("parent", self.facts.experiment, {})

    def child(self, cell: Cell) -> str:
        """The id of a cell's run, made and described when it is not there."""
        if cell.name in self._open:
            return self._open[cell.name]
        told = {name: str(value) for name, value in cell._asdict().items() if value != ""}
        tags = {"mlflow.parentRunId": self.parent(), **told}
        return self._run(cell.name, f"{self.facts.experiment} {cell.name}", tags)

    def ids(self) -> dict[str, Any]:
        """What run.json keeps: server, experiment, parent and children; None for what could not be made."""
        wanted = {
            "tracking_uri": shown(self.client.tracking_uri),
            "experiment_id": self._ids.get("experiment_id"),
        }
        children = {cell.name: self._ids.get(cell.name) for cell in self.facts.cells}
        return {**wanted, "parent_run_id": self._ids.get("parent"), "children": children}

    def _run(self, key: str, title: str, tags: dict[str, str]) -> str:
        if key in self._open:
            return self._open[key]
        run_id = self._ids.get(key)
        described = False
        if run_id is not None:
            described, alive = self._state(run_id)
            run_id = run_id if alive else None
        if run_id is None:
            described = False
            run_id = self._create(title, tags)
            self._remember(key, run_id)
        if not described:
            self._describe(run_id, tags, is_cell=key != "parent")
        self.client.update_run(run_id, status="RUNNING")
        self._open[key] = run_id
        return str(run_id)

    def _create(self, title: str, tags: dict[str, str]) -> str:
        experiment = experiment_id(self.client, self.facts.root)
        self._ids |= {"tracking_uri": shown(self.client.tracking_uri), "experiment_id": experiment}
        started = int(time.time() * 1000)
        run = self.client.create_run(
            experiment, started, tags={**tags, "mlflow.source.name": "mien"}, run_name=title
        )
        return str(run.info.run_id)

    def _remember(self, key: str, run_id: str) -> None:
        self._ids[key] = run_id
        self._store.write_json(IDS, self._ids)

    def _state(self, run_id: str) -> tuple[bool, bool]:
        """Whether a run has been described to the end, and whether it is there and not deleted."""
        try:
            run = self.client.get_run(run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            log.warning(
                "MLflow run %s of %s is gone from the server; a new one is made.",
                run_id,
                self.facts.experiment,
            )
            return False, False
        return run.data.tags.get(_DESCRIBED) == "yes", run.info.lifecycle_stage == "active"

    def _note(self) -> str:
        facts = self.facts
        return (
            f"`{facts.method}` on `{facts.corpus}`, {len(facts.cells)} cells, each a run below this one. "
            "`test/…`: figures of the test parts, with their bounds; among the artifacts, `results` has the "
            "tables behind them and `figures` the report's drawings."
        )

    def _describe(self, run_id: str, tags: dict[str, str], is_cell: bool) -> None:
        """Params, tags, configuration and data set; the tag that says so is last, so a cut is made good."""
        cell = {key: tags[key] for key in Cell._fields if key in tags}
        params = [Param(key, value) for key, value in (scalars(self.facts.settings) | cell).items()]
        for start in range(0, len(params), _PARAMS_A_CALL):
            self.client.log_batch(run_id, params=params[start : start + _PARAMS_A_CALL], synchronous=True)
        wanted = self.facts.tags() | (
            {"kind": "cell"} if is_cell else {"kind": "experiment", NOTE: self._note()}
        )
        self.client.log_batch(
            run_id, tags=[RunTag(key, value) for key, value in wanted.items()], synchronous=True
        )
        self.client.log_text(run_id, yaml.safe_dump(dict(self.facts.config), sort_keys=False), "params.yaml")
        self.client.log_inputs(run_id, [self.facts.dataset.as_input()])
        self.client.set_tag(run_id, _DESCRIBED, "yes")
