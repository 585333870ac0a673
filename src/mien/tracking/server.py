"""Which MLflow server: MLFLOW_TRACKING_URI, or a SQLite file in the repository with artifacts beside it."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import mlflow
from mlflow import MlflowClient
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException

EXPERIMENT = "mien"
NOTE = "mlflow.note.content"
"""The tag of an experiment or run that the UI shows as its description."""
_TAGS = {
    NOTE: "A run for each experiment of params.yaml, and below it one for each cell: a fold and a seed.",
    "mlflow.experimentKind": "custom_model_development",  # else the UI opens on traces of language models
}
DATABASE, ARTIFACTS = "mlflow.db", "mlruns"

UNREACHABLE = (MlflowException, OSError)
"""What a call raises while the server is away (the client wraps requests' and SQLAlchemy's errors)."""

# An unreachable server is found out in seconds; the client's own default tries for four minutes a call.
_PATIENCE = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # what a command prints may be JSON
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
}


def tracking_uri(root: Path) -> str:
    """MLFLOW_TRACKING_URI as it is set, or `sqlite:///ROOT/mlflow.db`."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(root / DATABASE).absolute()}"


def shown(uri: str) -> str:
    """A tracking URI without the name and password that it may carry, fit for files and messages."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if "@" in parts.netloc else uri


def connect(root: Path) -> MlflowClient:
    """A client for the tracking server and registry; sets the process's address too, which `models:/` reads.

    Nothing is sent yet: an unreachable server shows at the first call.
    """
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)
    for chatty in ("mlflow.store.db.utils", "alembic", "alembic.runtime.migration"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # callers say that it is away
    uri = tracking_uri(root)
    mlflow.set_tracking_uri(uri)
    return MlflowClient(tracking_uri=uri)


def experiment_id(
    client: MlflowClient, root: Path, name: str = EXPERIMENT, tags: Mapping[str, str] = _TAGS
) -> str:
    """The id of an MLflow experiment, made or restored when need be; without a name that of all trainings."""
    known = client.get_experiment_by_name(name)
    if known is not None:
        if known.lifecycle_stage != "active":
            client.restore_experiment(known.experiment_id)
        return str(known.experiment_id)
    local = "MLFLOW_TRACKING_URI" not in os.environ
    place = (root / ARTIFACTS).absolute().as_uri() if local else None  # a server has a place of its own
    try:
        return str(client.create_experiment(name, artifact_location=place, tags=dict(tags)))
    except MlflowException:
        # another process made it in the meantime
        for found in client.search_experiments(view_type=ViewType.ACTIVE_ONLY):
            if found.name == name:
                return str(found.experiment_id)
        raise
