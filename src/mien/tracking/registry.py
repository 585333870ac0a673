"""An experiment's best model becomes a version in the MLflow registry: weights, code, card, and no pickle."""

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.exceptions import MlflowException

from mien import methods
from mien.config import MienError, Params
from mien.config.train import Cell
from mien.evaluation.predictions import VALIDATION, read_predictions
from mien.evaluation.results import METRICS, SCORES, read_json
from mien.manifest.tables import sha256
from mien.tracking.card import CardFacts, card
from mien.tracking.drawings import drawings
from mien.tracking.experiment import figures_of
from mien.tracking.identity import code_tags
from mien.tracking.metric_log import MetricLog, Point
from mien.tracking.package import save_model
from mien.tracking.server import UNREACHABLE, connect, shown
from mien.training.kept import PREDICTIONS, RUN

_RESULTS, _FIGURES = "results", "figures"
_WEIGHTS_SHA = "weights_sha256"


@dataclass(frozen=True)
class _Chosen:
    """The cell whose model is registered."""

    entry: Mapping[str, Any]  # in run.json
    folder: Path
    validation: float  # mean accuracy

    @property
    def weights_sha256(self) -> str:
        return str(self.entry["sha256"][methods.WEIGHTS])


def register(experiment: str, run_dir: Path, results_dir: Path, params: Params, root: Path) -> dict[str, Any]:
    """Make the experiment's best cell, by validation, a version of `mien-EXPERIMENT`; gives name and version.

    The same weights are not registered twice: their version is given again. A one-class experiment has its
    figures sent to MLflow and registers none. MienError: a file of the run is
    missing or altered, or the server cannot be reached.
    """
    run, entry = read_json(run_dir / RUN), params.experiments[experiment]
    client = connect(root)
    try:
        if run["scores"]:  # there is no single model to choose: each knows one normal class
            _log_results(client, run, results_dir, drawings(entry, run, run_dir, results_dir))
            return {"model": None, "reason": "a one-class experiment has no model that names expressions"}
        chosen = choose(run, run_dir)
        return _register(client, f"mien-{experiment}", run, chosen, results_dir, params, root)
    except UNREACHABLE as error:
        raise MienError(
            f"MLflow at {shown(client.tracking_uri)} did not take the model "
            f"({' '.join(str(error).split())[:200]}); see that it runs and run the stage again."
        ) from error


def fetch_model(address: str, root: Path, into: Path) -> Path:
    """Fetch `models:/NAME/VERSION` or `models:/NAME@ALIAS`; the folder of its weights and description.

    MienError: no such version, or weights that are not those which were registered.
    """
    client = connect(root)
    found = re.fullmatch(r"models:/([^/@]+)(?:/(\d+)|@(.+))", address)
    if found is None:
        raise MienError(
            f"{address} is not an address in the registry; write models:/NAME/1 or models:/NAME@champion."
        )
    name, number, alias = found.groups()
    try:
        if alias:
            version = client.get_model_version_by_alias(name, alias)
        else:
            version = client.get_model_version(name, number)
        download_artifacts(artifact_uri=f"models:/{name}/{version.version}", dst_path=str(into))
    except UNREACHABLE as error:
        told = " ".join(str(error).split())[:200]
        raise MienError(f"{address} could not be had from {shown(client.tracking_uri)} ({told}).") from error
    for weights in into.rglob(methods.WEIGHTS):
        if sha256(weights) == version.tags.get(_WEIGHTS_SHA):
            return weights.parent
    raise MienError(f"{address} does not hold the weights that it was registered with; register it again.")


def choose(run: Mapping[str, Any], run_dir: Path) -> _Chosen:
    """The cell with the highest mean accuracy on its validation part, the first of equals; blind to test."""
    predictions = read_predictions(run_dir / PREDICTIONS, len(run["classes"])).of_part(VALIDATION)
    figures = {
        Cell(*cell): figures_of(made, len(run["classes"])).get("validation_mean_accuracy", float("nan"))
        for cell, made in predictions.by_cell()
    }
    entries = {Cell(entry["fold"], entry["seed"]): entry for entry in run["cells"]}
    if not figures or all(np.isnan(value) for value in figures.values()):
        raise MienError(f"{run_dir / PREDICTIONS} has no validation part to choose a model by; train again.")
    best = max(
        entries, key=lambda cell: (np.nan_to_num(figures.get(cell, np.nan), nan=-1.0), -cell.seed, -cell.fold)
    )
    folder = run_dir / "cells" / best.name
    for name, digest in entries[best]["sha256"].items():
        if not (folder / name).is_file() or sha256(folder / name) != digest:
            raise MienError(
                f"{folder / name} is missing or not what was trained; run `dvc repro` to train again."
            )
    return _Chosen(entries[best], folder, figures[best])


def _register(
    client: MlflowClient,
    name: str,
    run: Mapping[str, Any],
    chosen: _Chosen,
    results: Path,
    params: Params,
    root: Path,
) -> dict[str, Any]:
    run_id = chosen.entry["mlflow_run_id"]
    _ensure_model(client, name)
    found = [
        v
        for v in client.search_model_versions(f"name = '{name}'")
        if v.tags.get(_WEIGHTS_SHA) == chosen.weights_sha256
    ]
    if found:
        made = max(found, key=lambda v: int(v.version))
    else:
        drawn = drawings(params.experiments[run["experiment"]], run, chosen.folder.parents[1], results)
        _log_results(client, run, results, drawn)
        made = _new_version(client, name, run, chosen, results, params, root)
    return {
        "model": name,
        "version": int(made.version),
        "model_uri": f"models:/{name}/{made.version}",
        "tracking_uri": shown(client.tracking_uri),
        "run_id": run_id,
        "fold": chosen.entry["fold"],
        "seed": chosen.entry["seed"],
        "validation_mean_accuracy": chosen.validation,
        _WEIGHTS_SHA: chosen.weights_sha256,
    }


def _new_version(
    client: MlflowClient,
    name: str,
    run: Mapping[str, Any],
    chosen: _Chosen,
    results: Path,
    params: Params,
    root: Path,
) -> Any:
    tags = _tags(run, chosen, root)
    with tempfile.TemporaryDirectory(prefix="mien-register-") as scratch:
        folder = Path(scratch) / "model"
        text = card(_card_facts(name, run, chosen, results, params, tags))
        save_model(folder, chosen.folder, run["classes"], text)
        run_id, experiment_id = chosen.entry["mlflow_run_id"], run["mlflow"]["experiment_id"]
        if experiment_id is None:
            raise MienError(
                f"{name}: its training could not reach MLflow, so that there is no run to hang the model on; "
                f"see that it runs and train again (`dvc repro -sf train@{run['experiment']}` takes seconds)."
            )
        logged = client.create_logged_model(experiment_id, name=name, source_run_id=run_id, tags=tags)
        client.log_model_artifacts(logged.model_id, str(folder))
        client.finalize_logged_model(logged.model_id, "READY")
        return client.create_model_version(
            name,
            source=f"models:/{logged.model_id}",
            run_id=run_id,
            tags=tags,
            description=text,
            model_id=logged.model_id,
        )


def _tags(run: Mapping[str, Any], chosen: _Chosen, root: Path) -> dict[str, str]:
    """All that is needed to make the version again."""
    entry = chosen.entry
    code = {key: value for key, value in code_tags(root).items() if not key.startswith("mlflow.")}
    return code | {
        "experiment": run["experiment"],
        "method": run["method"],
        "corpus": run["corpus"],
        "fold": str(entry["fold"]),
        "seed": str(entry["seed"]),
        "shards_digest": run["shards_digest"],
        "run_digest": run["digest"],
        _WEIGHTS_SHA: chosen.weights_sha256,
        "validation_mean_accuracy": f"{chosen.validation:.6f}",
    }


def _card_facts(
    name: str, run: Mapping[str, Any], chosen: _Chosen, results: Path, params: Params, tags: Mapping[str, str]
) -> CardFacts:
    corpus, method = params.corpora[run["corpus"]], methods.method_class(run["method"])
    second = params.experiments[run["experiment"]].second_corpus
    described = read_json(chosen.folder / methods.DESCRIPTION) | {"needs": sorted(method.needs)}
    return CardFacts(
        name=name,
        run=run,
        cell=chosen.entry,
        described=described,
        scores=read_json(results / METRICS),
        validation=chosen.validation,
        tags=tags,
        rendered=corpus.kind == "rendered",
        gated=corpus.gated or params.corpora[second].gated,
        paper=method.paper,
        second_corpus=second if second != run["corpus"] else None,
        files=method.files(methods.settings(params, run["experiment"])),
    )


def _log_results(
    client: MlflowClient, run: Mapping[str, Any], results: Path, drawn: Mapping[str, bytes]
) -> None:
    """The test figures, with their bounds, the files of `evaluate`, and drawings, on the experiment's run."""
    parent = run["mlflow"]["parent_run_id"]
    if parent is None:
        return
    points = [
        Point(parent, f"test/{name}" + ("" if bound == "mean" else f"_{bound}"), 0, float(value), 0.0)
        for name, bounds in read_json(results / METRICS).items()
        if isinstance(bounds, Mapping)
        for bound, value in bounds.items()
        if value is not None
    ]
    MetricLog(client).send(points + _cell_points(run, results))
    client.log_artifacts(parent, str(results), _RESULTS)
    with tempfile.TemporaryDirectory(prefix="mien-register-") as scratch:
        for name, picture in drawn.items():
            (Path(scratch) / f"{name}.png").write_bytes(picture)
        client.log_artifacts(parent, scratch, _FIGURES)


def _cell_points(run: Mapping[str, Any], results: Path) -> list[Point]:
    """The AUCs of a one-class experiment's cells on their own runs; a classifier's cells stand in a table."""

    def named(told: Mapping[str, Any]) -> Cell:
        return Cell(*(told[name] for name in Cell._fields))

    runs = {named(cell): cell["mlflow_run_id"] for cell in run["cells"]}
    scored = read_json(results / SCORES)["cells"] if run["scores"] else []
    return [
        Point(run_id, f"test/auc_macro {name}", 0, float(area), 0.0)
        for cell in scored
        if (run_id := runs[named(cell)]) is not None
        for name, area in cell["auc_macro"].items()
        if area is not None
    ]


def _ensure_model(client: MlflowClient, name: str) -> None:
    try:
        client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        described = (
            "The best cell, by validation, of each training; a version's description is its model card."
        )
        client.create_registered_model(name, tags={"made_by": "mien"}, description=described)
