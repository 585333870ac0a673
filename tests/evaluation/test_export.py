"""Every method leaves as ONNX and TorchScript with the answers that it gives here, in batches of any size."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
import torch

from mien import methods
from mien.config import MienError
from mien.evaluation.export import TOLERANCE, Form, checked, difference, export, inputs_of, unit_of
from mien.evaluation.exported import FILES, is_exported, load_exported, open_file, sidecar
from mien.methods.contract import Method
from tests import tiny

FACES = 40  # a whole batch of 32 and a short one
APART = sorted({methods.method_class(name).predict: name for name in methods.names()}.values())
"""One method for each way of answering: the rivals of metric learning differ in their training alone."""
ABOUT = {"corpus": "none", "align": {"crop_px": 40}}


def exported(method: Method, name: str, form: Form, into: Path) -> dict:
    methods.save(method, name, into, ABOUT)
    loaded, described = methods.load(into)
    return export(loaded, described, tiny.faces(FACES, seed=3), form, into, {"licences": []})


@pytest.mark.slow
@pytest.mark.parametrize("name", APART)
def test_every_method_answers_from_onnx_as_here(name: str, tmp_path: Path) -> None:
    method, new = tiny.trained(name), tiny.faces(5, seed=8)
    exported(method, name, "onnx", tmp_path)
    model, described = load_exported(tmp_path / FILES["onnx"])
    with torch.no_grad():
        wanted = method.predict(new)
    unit = torch.tensor(described["check"]["unit"]) if method.scores else None
    assert difference(model.predict(new), wanted, unit) <= TOLERANCE
    assert model.scores == method.scores
    assert described["output"]["columns"] == list(method.scores or method.classes)
    graph = onnx.load(tmp_path / FILES["onnx"], load_external_data=False)
    onnx.checker.check_model(graph)
    assert {node.domain for node in graph.graph.node} <= {""}, "only operations of the standard"
    assert str(Path.cwd()).encode() not in (tmp_path / FILES["onnx"]).read_bytes()


@pytest.mark.parametrize("name", methods.names())
def test_every_method_answers_from_torchscript_as_here(name: str, tmp_path: Path) -> None:
    method, new = tiny.trained(name), tiny.faces(5, seed=8)
    exported(method, name, "torchscript", tmp_path)
    model, described = load_exported(tmp_path / FILES["torchscript"])
    with torch.no_grad():
        wanted = method.predict(new)
    unit = torch.tensor(described["check"]["unit"]) if method.scores else None
    assert difference(model.predict(new), wanted, unit) <= TOLERANCE
    with zipfile.ZipFile(tmp_path / FILES["torchscript"]) as archive:
        whole = b"".join(archive.read(name) for name in archive.namelist())
    assert str(Path.cwd()).encode() not in whole
    assert b"mien.methods" not in whole.replace(b"__torch__.mien.", b""), "no class of ours to import"


@pytest.mark.slow
@pytest.mark.parametrize("features", ["landmarks", "hog"])
def test_a_linear_svm_leaves_with_its_other_features(features: str, tmp_path: Path) -> None:
    method = tiny.trained("linear_svm", features=features, input_px=24)
    told = exported(method, "linear_svm", "onnx", tmp_path)
    assert list(told["inputs"]) == (["points"] if features == "landmarks" else ["faces"])
    model, _ = load_exported(tmp_path / FILES["onnx"])
    assert model.needs == frozenset(told["inputs"])
    new = tiny.faces(5, seed=8)
    with torch.no_grad():
        assert difference(model.predict(new), method.predict(new)) <= TOLERANCE


def test_ean_takes_its_gallery_along(tmp_path: Path) -> None:
    method = tiny.trained("ean")
    exported(method, "ean", "torchscript", tmp_path)
    new = tiny.faces(5, seed=8)
    model, _ = load_exported(tmp_path / FILES["torchscript"])
    with torch.no_grad():
        before = model.predict(new)
        torch.testing.assert_close(before, method.predict(new), rtol=0, atol=TOLERANCE)
        method.gallery.copy_(method.gallery.flip(0).roll(1, dims=1))
        assert not torch.allclose(method.predict(new), before, atol=1e-3), "the gallery plays no part"


def test_a_file_that_disagrees_is_refused_and_nothing_left(tmp_path: Path, monkeypatch) -> None:
    method = tiny.trained("resnet18")
    methods.save(method, "resnet18", tmp_path / "model", ABOUT)
    loaded, described = methods.load(tmp_path / "model")
    monkeypatch.setattr(type(loaded), "at_once", lambda self, batch: self.predict(batch).roll(1, dims=1))
    with pytest.raises(MienError, match=r"in batches of 1 the file's answers differ .* nothing was written"):
        export(loaded, described, tiny.faces(9), "torchscript", tmp_path / "out", {})
    assert list((tmp_path / "out").iterdir()) == []


def test_an_answer_that_is_not_a_number_is_refused() -> None:
    class Broken:
        scores = ()

        def predict(self, batch):
            return torch.full((len(batch), 3), torch.nan)

    with pytest.raises(MienError, match="differ from PyTorch's by nan"):
        checked(Broken(), tiny.faces(9), torch.zeros(9, 3), "onnx")


def test_scores_are_compared_in_units_of_their_unit_of() -> None:
    scores = torch.tensor([[1e-6, 10.0], [3e-6, 30.0]])
    torch.testing.assert_close(unit_of(scores), torch.tensor([1e-6, 10.0]).double())
    assert difference(scores + torch.tensor([1e-7, 0.0]), scores, unit_of(scores)) == pytest.approx(
        0.1, rel=1e-3
    )
    assert difference(scores, scores, unit_of(scores[:1])) == 0  # one face has no unit_of


def test_what_an_answer_rests_on() -> None:
    some = tiny.faces(3)
    assert inputs_of(tiny.build("hs_ocfer").eval(), some) == ("faces",)  # landmarks only teach it
    assert inputs_of(tiny.build("idferm").eval(), some) == ("faces", "points")
    with pytest.raises(MienError, match="draws noise for each face"):
        inputs_of(tiny.build("ocgan", test_noise=True).eval(), some)


def test_a_file_without_its_own_description_is_refused(tmp_path: Path) -> None:
    method = tiny.trained("linear_svm")
    told = exported(method, "linear_svm", "torchscript", tmp_path)
    path = tmp_path / FILES["torchscript"]
    assert is_exported(path)
    assert not is_exported(tmp_path)
    text = sidecar(path).read_text(encoding="utf-8")
    assert json.loads(text) == told
    for wrong, sentence in (
        (text.replace(told["sha256"], "0" * 64), "is not the file that model.pt.json describes"),
        (text.replace('"layout": 1', '"layout": 0'), "is of another mien"),
        (text[:-3], "is not JSON"),
    ):
        sidecar(path).write_text(wrong, encoding="utf-8")
        with pytest.raises(MienError, match=sentence):
            load_exported(path)
    sidecar(path).unlink()
    with pytest.raises(MienError, match=r"model\.pt\.json is missing"):
        load_exported(path)


def test_a_new_export_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    for seed in (0, 1):
        method = tiny.trained("linear_svm", count=12 + seed)
        told = exported(method, "linear_svm", "torchscript", tmp_path)
        model = open_file(tmp_path / FILES["torchscript"], told)
        new = replace(tiny.faces(5), label=torch.full((5,), -1))
        with torch.no_grad():
            torch.testing.assert_close(model.predict(new), method.predict(new), rtol=0, atol=TOLERANCE)
    found = sorted(path.name for path in tmp_path.iterdir())
    assert found == ["model.json", "model.pt", "model.pt.json", "model.safetensors"]
