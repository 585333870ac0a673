"""Every promotion, refusal and rollback as a run of the MLflow experiment `mien-promotions`."""

import json
import math
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Run

from mien.tracking.server import NOTE, experiment_id

EXPERIMENT = "mien-promotions"
PROMOTED, KEPT, ALREADY, ROLLED_BACK = "promoted", "kept", "already champion", "rolled back"
MOVES = (PROMOTED, ROLLED_BACK)
"""The decisions that move the alias."""
RECORD_FILE = "record.json"
_TAGS = {
    NOTE: "A run for each comparison of a challenger with the champion, and for each rollback.",
    "mlflow.experimentKind": "custom_model_development",
}


@dataclass(frozen=True)
class Record:
    """One decision about the champion of one registered model."""

    model: str
    decision: str
    old: int | None  # the champion's version before; None: there was none
    new: int  # the version that was asked about
    sequence: int  # rises from record to record
    reason: str
    manifest: Mapping[str, Any] = field(default_factory=dict)  # of the frozen faces, and the rule
    verdict: Mapping[str, Any] = field(default_factory=dict)  # scores of both, gain, p-values
    run_id: str = ""

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return {**vars(self), "manifest": dict(self.manifest), "verdict": dict(self.verdict)}


def open_record(client: MlflowClient, root: Path, record: Record, attached: Mapping[str, bytes]) -> str:
    """Write a record down before its alias is moved; gives the id of its run, which is not yet FINISHED."""
    title = f"{record.decision}: {record.model} {record.new}"  # the UI's list cuts names after some words
    tags = {
        "kind": "promotion",
        "model": record.model,
        "decision": record.decision,
        "old": str(record.old or ""),
        "new": str(record.new),
        "sequence": str(record.sequence),
        "frozen_corpus": str(record.manifest.get("corpus", "")),
        "frozen_digest": str(record.manifest.get("digest", "")),
        "rule": json.dumps(record.manifest.get("rule", {}), sort_keys=True),
        "mlflow.source.name": "mien",
        NOTE: f"{record.decision}: {record.reason}",
    }
    home = experiment_id(client, root, EXPERIMENT, _TAGS)
    now = int(time.time() * 1000)
    run_id = str(client.create_run(home, now, tags=tags, run_name=title).info.run_id)
    metrics = [Metric(key, value, now, 0) for key, value in _figures(record.verdict).items()]
    client.log_batch(run_id, metrics=metrics, synchronous=True)
    whole = {**record.as_json(), "run_id": run_id}
    files = {**attached, RECORD_FILE: json.dumps(_plain(whole), indent=2).encode()}
    attach(client, run_id, files)
    return run_id


def attach(client: MlflowClient, run_id: str, files: Mapping[str, bytes]) -> None:
    """Put files, by name, beside a record."""
    with tempfile.TemporaryDirectory(prefix="mien-record-") as scratch:
        for name, data in files.items():
            (Path(scratch) / name).write_bytes(data)
        client.log_artifacts(run_id, scratch)


def history(client: MlflowClient, model: str) -> list[Record]:
    """The finished records of a model, oldest first, without what stands only in their files."""
    return sorted(
        (_read(run) for run in _runs(client, model, "FINISHED")), key=lambda record: record.sequence
    )


def settle(client: MlflowClient, model: str, champion: int | None) -> None:
    """Close records that a crash left open: as done if their version is champion, else as never happened.

    To be called in one's turn, when nobody else can be writing one.
    """
    for run in _runs(client, model, "RUNNING"):
        record = _read(run)
        done = record.decision not in MOVES or record.new == champion
        client.set_terminated(record.run_id, "FINISHED" if done else "KILLED")


def before_last(records: Sequence[Record]) -> tuple[int | None, int | None]:
    """The champion and the one before it, as the moves in the records tell; a rollback undoes a promotion."""
    line: list[int] = []
    for record in records:
        if record.decision == PROMOTED:
            # a champion that was set by hand, outside of the records
            line += [record.old] if record.old is not None and line[-1:] != [record.old] else []
            line.append(record.new)
        elif record.decision == ROLLED_BACK:
            line.pop()
    return (line[-1] if line else None), (line[-2] if len(line) > 1 else None)


def _runs(client: MlflowClient, model: str, status: str) -> list[Run]:
    home = client.get_experiment_by_name(EXPERIMENT)
    if home is None:
        return []
    wanted = f"tags.kind = 'promotion' and tags.model = '{model}' and attributes.status = '{status}'"
    found: list[Run] = []
    token: str | None = None
    while token != "":
        page = client.search_runs([home.experiment_id], wanted, max_results=1000, page_token=token)
        found += page
        token = page.token or ""
    return found


def _read(run: Run) -> Record:
    tags = run.data.tags
    return Record(
        model=tags["model"],
        decision=tags["decision"],
        old=int(tags["old"]) if tags["old"] else None,
        new=int(tags["new"]),
        sequence=int(tags["sequence"]),
        reason=tags[NOTE].partition(": ")[2],
        manifest={
            "corpus": tags["frozen_corpus"],
            "digest": tags["frozen_digest"],
            "rule": json.loads(tags.get("rule", "{}")),
        },
        run_id=run.info.run_id,
    )


def _figures(verdict: Mapping[str, Any]) -> dict[str, float]:
    """What MLflow can draw of a verdict."""
    if not verdict:
        return {}
    found = {f"gain_{key}": verdict["gain"][key] for key in ("mean", "low", "high")}
    found |= {"p_value": verdict["p_value"], "mcnemar_p": verdict["mcnemar_p"]}
    for side in ("old", "new"):
        told = verdict[side] or {}
        found |= {f"{side}/{key}": told[key] for key in ("accuracy", "mean_accuracy") if told}
        found |= {f"{side}/recall {name}": value for name, value in told.get("recall", {}).items()}
    return {key: float(value) for key, value in found.items() if value is not None and math.isfinite(value)}


def _plain(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
