"""The predictions behind an MLflow run of mien, for a comparison."""

import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from mien.config import MienError
from mien.training.kept import PREDICTIONS


def find_run(client: MlflowClient, run_id: str) -> Run | None:
    """The run of that id, or None."""
    try:
        return client.get_run(run_id)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return None


def predictions_of(client: MlflowClient, run: Run, into: Path) -> Path:
    """Put the predictions of a run (an experiment's, with all its cells, or one cell's) into one file.

    MienError: it is no run of mien's trainings, or has no predictions.
    """
    tags, run_id = run.data.tags, run.info.run_id
    if tags.get("kind") not in ("experiment", "cell"):
        raise MienError(f"the MLflow run {run_id} is no training of mien; give one of `mien ui`'s.")
    cells = [run_id] if tags["kind"] == "cell" else _children(client, run)
    tables = [_fetched(client, cell) for cell in cells]
    if not tables:
        raise MienError(f"the MLflow run {run_id} has no finished cell; train it first.")
    path = into / f"{run_id}.parquet"
    pq.write_table(pa.concat_tables(tables), path)
    return path


def _children(client: MlflowClient, run: Run) -> list[str]:
    wanted = f"tags.`mlflow.parentRunId` = '{run.info.run_id}' and attributes.status = 'FINISHED'"
    found = client.search_runs([run.info.experiment_id], wanted, max_results=1000)
    return sorted(child.info.run_id for child in found)


def _fetched(client: MlflowClient, run_id: str) -> pa.Table:
    with tempfile.TemporaryDirectory(prefix="mien-compare-") as scratch:
        try:
            path = download_artifacts(
                run_id=run_id, artifact_path=PREDICTIONS, dst_path=scratch, tracking_uri=client.tracking_uri
            )
        except (MlflowException, OSError) as error:
            raise MienError(f"the MLflow run {run_id} has no {PREDICTIONS}; train it again.") from error
        return pq.read_table(path)
