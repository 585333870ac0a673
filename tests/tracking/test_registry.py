"""From a finished run to a version in the registry and back."""

import io
import json
from pathlib import Path

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from mien.cli.app import app
from mien.cli.compare import compare_two
from mien.config import MienError
from mien.evaluation.notice import FORBIDDEN
from mien.evaluation.stage import evaluate_experiment
from mien.tracking.experiment import finished, track, validation_figures
from mien.tracking.registry import choose, register
from mien.tracking.server import connect
from mien.training.kept import PREDICTIONS, RUN, fetched, write_run
from mien.training.plan import Plan, make_plan
from tests.striped import tiny, trained_here, write_corpus


def jpeg(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95)
    return file.getvalue()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("registry")


@pytest.fixture(scope="module")
def plan(root: Path) -> Plan:
    """A finished experiment, in MLflow, with its results."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        plan = make_plan(tiny(root), "tiny", write_corpus(root))
        trained_here(plan)
        tracker = track(plan, root)
        with fetched(plan) as kept:
            write_run(plan, kept, root / "runs", tracker.finish(finished(plan, kept)))
        evaluate_experiment("tiny", plan.shards / "striped", root / "runs", root / "results", plan.params)
    return plan


@pytest.mark.slow
def test_a_version_answers_pictures_with_probabilities_or_a_reason(plan: Plan, root: Path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    made = register("tiny", root / "runs", root / "results", plan.params, root)
    again = register("tiny", root / "runs", root / "results", plan.params, root)
    assert again == made
    assert (made["model"], made["version"]) == ("mien-tiny", 1)

    face = pytest.importorskip("skimage.data").astronaut()
    model = mlflow.pyfunc.load_model(made["model_uri"])
    blank = jpeg(np.full((80, 80, 3), 128, np.uint8))
    answers = model.predict(pd.DataFrame({"picture": [jpeg(face), blank, b"no picture at all"]}))
    expressions = list(plan.index.classes)
    assert list(answers.columns) == [*expressions, "expression", "reason"]
    assert answers.loc[0, expressions].sum() == pytest.approx(1, abs=1e-6)
    assert answers.loc[0, "expression"] == expressions[int(np.argmax(answers.loc[0, expressions]))]
    assert pd.isna(answers.loc[0, "reason"])
    assert answers.loc[1:, expressions].isna().all(axis=None)
    assert list(answers["reason"][1:]) == ["no face", "not a picture"]
    with pytest.raises(mlflow.exceptions.MlflowException, match="picture"):
        model.predict(pd.DataFrame({"image": [blank]}))


@pytest.mark.slow
def test_a_version_says_where_it_comes_from_and_holds_no_pickle(
    plan: Plan, root: Path, monkeypatch, tmp_path: Path
):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    made = register("tiny", root / "runs", root / "results", plan.params, root)
    client = connect(root)
    version = client.get_model_version("mien-tiny", str(made["version"]))
    for key in ("git_commit", "dvc_lock", "seed", "fold", "shards_digest", "run_digest", "weights_sha256"):
        assert version.tags[key]
    assert all(sentence in version.description for sentence in FORBIDDEN)
    folder = Path(mlflow.artifacts.download_artifacts(made["model_uri"], dst_path=str(tmp_path)))
    names = [path.name for path in folder.rglob("*") if path.is_file()]
    assert {"model_card.md", "model.safetensors", "served.py"} <= set(names)
    # a load straight from a local store, as in the test above, leaves served.py's bytecode there
    assert [name for name in names if name.endswith(".pyc")] in ([], ["served.cpython-311.pyc"])
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".pt", ".pth"))]
    parent = json.loads((root / "runs" / RUN).read_text())["mlflow"]["parent_run_id"]
    assert "test/mean_accuracy" in client.get_run(parent).data.metrics
    drawn = {Path(file.path).name for file in client.list_artifacts(parent, "figures")}
    assert drawn == {"confusion.png", "loss.png", "validation.png"}


@pytest.mark.slow
def test_the_cell_is_chosen_by_validation_alone(plan: Plan, root: Path):
    run = json.loads((root / "runs" / RUN).read_text())
    with fetched(plan) as kept:
        figures = {
            k.cell.name: validation_figures(k.folder / PREDICTIONS, 3)["validation_mean_accuracy"]
            for k in kept
        }
    chosen = choose(run, root / "runs")
    assert chosen.validation == max(figures.values())
    assert figures[chosen.folder.name] == chosen.validation


@pytest.mark.slow
def test_runs_are_compared_by_their_ids(plan: Plan, root: Path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(root)
    (root / "data").symlink_to(root)
    (root / "dvc.yaml").write_text("stages: {}\n")
    (root / "params.yaml").write_text(yaml.safe_dump(plan.params.model_dump(mode="json")))
    run = json.loads((root / "runs" / RUN).read_text())
    whole, part = run["mlflow"]["parent_run_id"], run["cells"][1]["mlflow_run_id"]
    done = CliRunner().invoke(app, ["compare", whole, part, "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["folds"] == [run["cells"][1]["fold"]]  # the one that both have tested
    assert (told["p_value"], told["differing"]) == (1.0, [])
    first, second = told["figures"]["accuracy"]
    assert first == second
    with pytest.raises(
        MienError, match=r"nowhere is neither an experiment trained here .* nor the whole id of an MLflow run"
    ):
        compare_two(root, "nowhere", whole, None)
