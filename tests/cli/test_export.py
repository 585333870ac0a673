"""`mien export`, and `mien predict` on what it wrote."""

import shutil
from pathlib import Path

import mlflow.pyfunc
import numpy as np
import onnxruntime
import pandas as pd
import pytest
from typer.testing import CliRunner

from mien import methods
from mien.cli.app import app
from mien.cli.export import export_file, export_folder
from mien.cli.models import find_model
from mien.config import MienError
from mien.config.faces import Align, Landmarks
from mien.evaluation.inference import Predictor
from mien.shards.index import read_index
from mien.shards.indexed import IndexedReader
from mien.shards.writer import write_shards
from tests import tiny
from tests.faces.photographs import astronaut
from tests.shards.painted import SMALL, jpeg, people

ROOT = Path(__file__).parents[2]
ABOUT = {
    "corpus": "painted",
    "experiment": "tiny",
    "fold": 0,
    "seed": 0,
    "shards_digest": "none",
    "align": Align(crop_px=48).model_dump(mode="json"),
    "landmarks": Landmarks().model_dump(mode="json"),
}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of 48 painted faces, and two models of them: one-class and not."""
    root = tmp_path_factory.mktemp("checkout")
    shutil.copy(ROOT / "params.yaml", root)
    shutil.copy(ROOT / "dvc.yaml", root)
    tables = people().write(root / "in")
    write_shards("painted", **tables, into=root / "data" / "shards" / "painted", params=SMALL)
    for name in ("linear_svm", "idferm", "svdd"):
        methods.save(tiny.trained(name), name, root / name, ABOUT)
    return root


@pytest.mark.slow
def test_predict_takes_an_onnx_file(checkout: Path, tmp_path: Path, monkeypatch) -> None:
    """IDFERM reads landmarks, too."""
    monkeypatch.chdir(checkout)
    done = CliRunner().invoke(app, ["export", "idferm", "--to", "onnx", "--into", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "48 faces of data/shards/painted get PyTorch's answers" in done.stdout
    assert find_model(checkout, str(tmp_path / "model.onnx"), tmp_path) == tmp_path / "model.onnx"
    told, wanted = (
        Predictor(path).predict([astronaut()]) for path in (tmp_path / "model.onnx", Path("idferm"))
    )
    assert told[0].probabilities == pytest.approx(wanted[0].probabilities, abs=1e-4)
    np.testing.assert_array_equal(told[0].box, wanted[0].box)


@pytest.mark.slow
def test_the_file_answers_without_mien(checkout: Path, tmp_path: Path) -> None:
    path, told = export_file(checkout, str(checkout / "linear_svm"), "onnx", tmp_path)
    index = read_index(checkout / "data" / "shards" / "painted")
    faces = next(IndexedReader(index, range(5), tiny.CLASSES).in_order(5))
    (answers,) = onnxruntime.InferenceSession(path).run(["probabilities"], {"faces": faces.faces.numpy()})
    method, _ = methods.load(checkout / "linear_svm")
    np.testing.assert_allclose(answers, method.predict(faces).numpy(), rtol=0, atol=1e-4)
    assert told["inputs"] == {"faces": {"type": "uint8", "shape": ["N", 3, 48, 48]}}
    assert told["output"] == {"name": "probabilities", "columns": list(tiny.CLASSES)}
    assert any("painted" in line for line in told["licences"])


@pytest.mark.slow
def test_a_pyfunc_folder_answers_as_its_maker(checkout: Path, tmp_path: Path) -> None:
    face = tmp_path / "face"
    shutil.copytree(checkout / "linear_svm", face)
    # painted crops are no faces to a detector: the photograph takes their place
    pictures = [jpeg(astronaut()), b"no picture at all"]
    folder, told = export_folder(checkout, str(face), tmp_path / "out", pictures)
    assert told["check"]["largest_difference"] <= 1e-6
    table = mlflow.pyfunc.load_model(str(folder)).predict(pd.DataFrame({"picture": pictures}))
    wanted = Predictor(face).predict_encoded(pictures)[0]
    assert table.loc[0, "expression"] == wanted.expression
    assert table.loc[1, "reason"]
    assert "AI Act" in (folder / "model_card.md").read_text(encoding="utf-8")
    assert not [path for path in folder.rglob("*") if path.suffix in (".pkl", ".pickle", ".pth")]
    with pytest.raises(MienError, match="is there already"):
        export_folder(checkout, str(face), tmp_path / "out", pictures)


def test_a_one_class_model_leaves_as_a_file_and_not_as_a_folder(checkout: Path, tmp_path: Path) -> None:
    _, told = export_file(checkout, str(checkout / "svdd"), "torchscript", tmp_path)
    assert told["output"] == {"name": "alien_scores", "columns": ["distance"]}
    with pytest.raises(MienError, match="names no expressions"):
        export_folder(checkout, str(checkout / "svdd"), tmp_path / "other")
    with pytest.raises(MienError, match="names no expressions"):
        Predictor(tmp_path / "model.pt")
    with pytest.raises(MienError, match="is an exported file already"):
        export_file(checkout, str(tmp_path / "model.pt"), "onnx", tmp_path)


def test_without_faces_to_check_it_on_nothing_is_written(checkout: Path, tmp_path: Path) -> None:
    methods.save(tiny.trained("svdd"), "svdd", tmp_path / "model", ABOUT | {"corpus": "absent"})
    with pytest.raises(
        MienError, match=r"data/shards/absent is not here; make it with `dvc repro shard@absent`"
    ):
        export_file(checkout, str(tmp_path / "model"), "torchscript", tmp_path / "out")
    other = ABOUT | {"align": {**ABOUT["align"], "crop_px": 64}}
    methods.save(tiny.trained("svdd"), "svdd", tmp_path / "model", other)
    with pytest.raises(MienError, match="holds crops of 48 px, and the model learnt from 64 px"):
        export_file(checkout, str(tmp_path / "model"), "torchscript", tmp_path / "out")
    assert not (tmp_path / "out").exists()
