"""Drift of new faces against the training data of a model's champion, from what its record has kept."""

import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import Metric

from mien.config import Params
from mien.evaluation.drift import Shift, as_json, drift
from mien.evaluation.facts import Layout
from mien.evaluation.profile import labelled, new_rows, predict_rows, profile
from mien.shards.index import read_index
from mien.tracking.promotion import champion, is_registered
from mien.tracking.records import PROMOTED, Record, attach, history
from mien.tracking.registry import fetch_model
from mien.tracking.trial import PROFILE_FILE

DRIFT_FILE = "drift.json"


def drift_of(
    client: MlflowClient, root: Path, params: Params, data: Path, model: str, corpus: str
) -> tuple[list[Shift], str]:
    """How the newest faces of a corpus differ from what the champion was trained on, and a sentence.

    Newest: not there, or labelled otherwise, at the last challenge; faces that were refused with an earlier
    challenger do not hide them. data: the folder of dvc.yaml, with the corpus's present shards. The list is
    empty where nothing could be compared, and the sentence says why.
    """
    number = champion(client, model) if is_registered(client, model) else None
    if number is None:
        return [], f"{model} has no champion yet: no drift to speak of"
    records = history(client, model)
    before = _profile_of(client, [r for r in records if (r.decision, r.new) == (PROMOTED, number)])
    seen = _profile_of(client, records)
    if before is None or seen is None:
        return [], f"{model} {number}: nothing is kept of what it was trained on, so that drift is not known"
    layout = Layout.below(data, corpus)
    index = read_index(layout.shards)
    rows = new_rows(index, new_rows(index, labelled(index), before), seen)
    if len(rows) < params.promotion.drift.min_faces:
        return [], f"{len(rows)} faces of {corpus} are new or labelled anew: too few to speak of drift"
    with tempfile.TemporaryDirectory(prefix="mien-drift-") as scratch:
        weights = fetch_model(f"models:/{model}/{number}", root, Path(scratch))
        predicted = predict_rows(index, rows, weights)
    shifts = drift(before, profile(layout, index, rows, predicted), params.promotion.drift)
    found = ", ".join(shift.name for shift in shifts if shift.drifted) or "none"
    against = f"{model} {number} was trained on {len(before)}"
    return shifts, f"{len(rows)} faces of {corpus} are new or labelled anew, {against}; drift: {found}"


def log_drift(client: MlflowClient, record: Record, shifts: Sequence[Shift], sentence: str) -> None:
    """Put what was found on the record of the challenge that followed: tag, metrics, file."""
    now = int(time.time() * 1000)
    metrics = [Metric(f"drift/{s.name} effect", s.effect, now, 0) for s in shifts]
    metrics += [Metric(f"drift/{s.name} p", s.p_value, now, 0) for s in shifts]
    client.log_batch(record.run_id, metrics=metrics, synchronous=True)
    client.set_tag(record.run_id, "drift", sentence)
    told = {"sentence": sentence, "shifts": as_json(shifts)}
    attach(client, record.run_id, {DRIFT_FILE: json.dumps(told, indent=2).encode()})


def _profile_of(client: MlflowClient, records: Sequence[Record]) -> pa.Table | None:
    """The profile beside the last of some records that has one, or None."""
    for record in reversed(records):
        if any(file.path == PROFILE_FILE for file in client.list_artifacts(record.run_id)):
            with tempfile.TemporaryDirectory(prefix="mien-profile-") as scratch:
                return pq.read_table(
                    download_artifacts(
                        run_id=record.run_id,
                        artifact_path=PROFILE_FILE,
                        dst_path=scratch,
                        tracking_uri=client.tracking_uri,
                    )
                )
    return None
