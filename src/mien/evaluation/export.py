"""A trained method as a file that runs without mien: ONNX or TorchScript, checked on faces.

It begins at aligned crops (uint8), so that all preprocessing is inside, and ends at probabilities or alien
scores. Neither format holds a pickled class of ours; what else loading needs stands in JSON beside it.
"""

import json
import math
import platform
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mien.config import MienError
from mien.evaluation.exported import FACES, FILES, LAYOUT, POINTS, Exported, open_file, sidecar
from mien.evaluation.onnx_operators import translations
from mien.manifest.tables import sha256, whole
from mien.methods.contract import Method
from mien.shards.batch import Batch

Form = Literal["onnx", "torchscript"]

TOLERANCE = 1e-4
"""Of a probability; of an alien score, which has no scale of its own, in units of `unit_of`."""
LEAST = 0.01
"""A score is not asked to agree beyond TOLERANCE * LEAST of its size, about ten steps of float32."""
SIZES = (1, 2, 32)
"""Batches in which the file must give PyTorch's answers; the last size takes all faces."""
FEW = 8  # faces for the smaller sizes
EXAMPLE = 3  # faces that a graph is recorded with: neither 1 nor 2, which could be taken for fixed
_DEBUG = ".debug_pkl"


class Answering(nn.Module):
    """A method as a function of tensors: crops (N, 3, H, W) uint8, landmarks (N, 68, 2), or both."""

    def __init__(self, method: Method, inputs: Sequence[str]) -> None:
        super().__init__()
        self.method, self.inputs = method, tuple(inputs)

    def forward(self, first: Tensor, second: Tensor | None = None) -> Tensor:
        """In the order of `inputs` -> probabilities (N, C) or alien scores (N, S)."""
        given: dict[str, Tensor | None] = dict(zip(self.inputs, (first, second), strict=False))
        nobody = torch.full((first.shape[0],), -1, dtype=torch.int64)
        crops = given.get(FACES)
        crops = nobody if crops is None else crops  # a method of landmarks alone never looks at them
        batch = Batch((), crops, label=nobody, seed=nobody, subject=nobody, points=given.get(POINTS))
        return self.method.at_once(batch)


def inputs_of(method: Method, batch: Batch) -> tuple[str, ...]:
    """Which of crops and landmarks an answer rests on. MienError: it draws noise by each face's seed."""
    read: set[str] = set()

    class Watched(Batch):
        def __getattribute__(self, name: str) -> Any:
            read.add(name)
            return super().__getattribute__(name)

    with torch.no_grad():
        method.at_once(Watched(**{field.name: getattr(batch, field.name) for field in fields(Batch)}))
    if "seed" in read:
        raise MienError(
            "this model draws noise for each face before it answers, which a file cannot; export one that "
            "does not (methods.ocgan.test_noise: false)."
        )
    return tuple(name for name in (FACES, POINTS) if name in read)


def export(
    method: Method,
    described: Mapping[str, Any],
    faces: Batch,
    form: Form,
    into: Path,
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Write the file and its description into a folder, once it has answered for `faces` as the method does.

    facts: what the description says beside (licences, where the faces are from). Returns the description.
    MienError: the method cannot be written so, or the answers differ; nothing is left then.
    """
    method.eval().requires_grad_(False)
    path, inputs = into / FILES[form], inputs_of(method, faces.select(range(min(len(faces), EXAMPLE))))
    with torch.no_grad():
        wanted = torch.cat([method.predict(part) for part in _parts(faces, SIZES[-1])])
    told = _description(method, described, faces, form, inputs) | dict(facts)
    with whole(path) as scratch:
        _WRITE[form](Answering(method, inputs).eval(), _example(faces, inputs), method, scratch)
        far = checked(open_file(scratch, told), faces, wanted, form)
        told |= {"sha256": sha256(scratch), "check": _check(method, faces, wanted, far)}
        sidecar(path).unlink(missing_ok=True)  # with another file's description nothing would load
    with whole(sidecar(path)) as scratch:
        scratch.write_text(json.dumps(told, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return told


def checked(exported: Exported, faces: Batch, wanted: Tensor, form: str) -> float:
    """The largest difference of the file's answers from `wanted` (N, C), in units of TOLERANCE's.

    In batches of 1, 2 and 32. MienError: it is over TOLERANCE.
    """
    found = 0.0
    for size in SIZES:
        some = faces if size == SIZES[-1] else faces.select(range(min(len(faces), FEW)))
        told = torch.cat([exported.predict(part) for part in _parts(some, size)])
        far = difference(told, wanted[: len(some)], unit_of(wanted) if exported.scores else None)
        if not far <= TOLERANCE:  # also where it is not a number
            raise MienError(
                f"{form}: in batches of {size} the file's answers differ from PyTorch's by {far:.2g}, more "
                f"than {TOLERANCE:g}; nothing was written. Please report it with the model's description."
            )
        found = max(found, far)
    return found


def difference(told: Tensor, wanted: Tensor, unit: Tensor | None = None) -> float:
    """The largest absolute difference of answers (N, C), in units of (C,); nan where one is not a number."""
    gap = (told.double() - wanted.double()).abs()
    return float((gap if unit is None else gap / unit).max())


def unit_of(scores: Tensor) -> Tensor:
    """Standard deviation of each alien score over faces, or LEAST of its size: (N, S) -> (S,), never 0."""
    values = scores.double()
    size = LEAST * values.abs().mean(dim=0)
    return values.std(dim=0, correction=0).maximum(size).clamp(min=torch.finfo(torch.float32).tiny)


def to_onnx(module: Answering, example: tuple[Tensor, ...], method: Method, path: Path) -> None:
    """Write the graph for any number of faces. MienError: an operation has no counterpart in ONNX."""
    output = _output(method)
    many = torch.export.Dim("N", min=1)
    try:
        with _quiet():
            program = torch.onnx.export(
                module,
                example,
                input_names=module.inputs,
                output_names=[output],
                dynamic_shapes=tuple({0: many} for _ in example),
                custom_translation_table=translations(),
                verbose=False,
                dynamo=True,
            )
    except torch.onnx.OnnxExporterError as error:
        told = " ".join(str(error.__cause__ or error).split())[:300]
        raise MienError(f"{type(method).__name__} cannot be written as ONNX ({told}).") from error
    assert program is not None
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # paths and code of the machine it was made on
    program.save(path, external_data=False)


def to_torchscript(module: Answering, example: tuple[Tensor, ...], method: Method, path: Path) -> None:
    """Write the traced and frozen graph, without the paths and code of this machine that torch puts in."""
    with _quiet(), torch.no_grad():
        traced = torch.jit.trace(module, example, check_trace=False)  # type: ignore[no-untyped-call]
        torch.jit.save(torch.jit.freeze(traced), path)
    with whole(path) as scratch, zipfile.ZipFile(path) as full, zipfile.ZipFile(scratch, "w") as slim:
        for entry in full.infolist():
            if not entry.filename.endswith(_DEBUG):
                slim.writestr(zipfile.ZipInfo(entry.filename), full.read(entry))


_WRITE: dict[Form, Callable[[Answering, tuple[Tensor, ...], Method, Path], None]] = {
    "onnx": to_onnx,
    "torchscript": to_torchscript,
}


def _description(
    method: Method, described: Mapping[str, Any], faces: Batch, form: Form, inputs: Sequence[str]
) -> dict[str, Any]:
    shapes = {FACES: ["N", *faces.faces.shape[1:]], POINTS: ["N", 68, 2]}
    types = {FACES: "uint8", POINTS: "float32"}
    return dict(described) | {
        "layout": LAYOUT,
        "format": form,
        "inputs": {name: {"type": types[name], "shape": shapes[name]} for name in inputs},
        "output": {"name": _output(method), "columns": list(method.scores or method.classes)},
        "scores": list(method.scores),
        "made_with": {"python": platform.python_version(), "torch": str(torch.__version__)},
    }


def _check(method: Method, faces: Batch, wanted: Tensor, far: float) -> dict[str, Any]:
    unit = [float(value) for value in unit_of(wanted)] if method.scores else [1.0] * wanted.shape[1]
    told = {"faces": len(faces), "batches": list(SIZES), "tolerance": TOLERANCE, "unit": unit}
    return told | {"largest_difference": far}


def _output(method: Method) -> str:
    return "alien_scores" if method.scores else "probabilities"


def _example(faces: Batch, inputs: Sequence[str]) -> tuple[Tensor, ...]:
    rows = [number % len(faces) for number in range(EXAMPLE)]
    return tuple(getattr(faces.select(rows), name).contiguous() for name in inputs)


def _parts(faces: Batch, size: int) -> Iterator[Batch]:
    for number in range(math.ceil(len(faces) / size)):
        yield faces.select(range(number * size, min(len(faces), (number + 1) * size)))


@contextmanager
def _quiet() -> Iterator[None]:
    """torch warns of TorchScript's end and of each constant that it takes from a shape."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
