"""A file that `mien export` wrote, asked as the method it was made from."""

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mien.config import MienError
from mien.manifest.tables import sha256
from mien.shards.batch import Batch

FACES, POINTS = "faces", "points"
"""The inputs: crops (N, 3, H, W) uint8 RGB, and 68 landmarks (N, 68, 2) float32 in px of the crop."""
FILES = {"onnx": "model.onnx", "torchscript": "model.pt"}
LAYOUT = 1  # of the description; another number means that an older or newer mien wrote it

Ask = Callable[[Sequence[Tensor]], Tensor]


class Exported:
    """What a Predictor asks of a Method: `needs`, `classes`, `scores` and `predict`."""

    def __init__(self, described: Mapping[str, Any], ask: Ask) -> None:
        self.classes: tuple[str, ...] = tuple(described["classes"])
        self.scores: tuple[str, ...] = tuple(described["scores"])
        self.needs = frozenset(described["inputs"])
        self._inputs = tuple(described["inputs"])
        self._ask = ask

    def predict(self, batch: Batch) -> Tensor:
        """Class probabilities (N, C), or alien scores (N, S), as the method's own `predict`."""
        return self._ask([getattr(batch, name).contiguous() for name in self._inputs])


def is_exported(path: Path) -> bool:
    """Whether a path looks like such a file."""
    return path.suffix in {Path(name).suffix for name in FILES.values()} and path.is_file()


def load_exported(path: Path) -> tuple[Exported, dict[str, Any]]:
    """The model in a file, and its description. MienError: the description is missing or another file's."""
    beside = sidecar(path)
    try:
        described: dict[str, Any] = json.loads(beside.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MienError(f"{beside} is missing; `mien export` writes it beside {path.name}.") from None
    except ValueError as error:
        raise MienError(f"{beside} is not JSON ({error}); export the model again.") from error
    if described.get("layout") != LAYOUT:
        raise MienError(f"{beside} is of another mien (layout {described.get('layout')}); export again.")
    if sha256(path) != described["sha256"]:
        raise MienError(f"{path} is not the file that {beside.name} describes; export the model again.")
    return open_file(path, described), described


def open_file(path: Path, described: Mapping[str, Any]) -> Exported:
    """The model in a file that its description belongs to."""
    opened = _onnx(path, described) if described["format"] == "onnx" else _torchscript(path)
    return Exported(described, opened)


def sidecar(path: Path) -> Path:
    """Where the description of a file stands."""
    return path.with_name(f"{path.name}.json")


def _onnx(path: Path, described: Mapping[str, Any]) -> Ask:
    import onnxruntime  # not at the top: a quarter of a second that other models do without

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = list(described["inputs"])

    def ask(inputs: Sequence[Tensor]) -> Tensor:
        arrays = {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)}
        return torch.from_numpy(session.run(None, arrays)[0])

    return ask


def _torchscript(path: Path) -> Ask:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch announces TorchScript's end
        model = torch.jit.load(path, map_location="cpu").eval()  # type: ignore[no-untyped-call]

    def ask(inputs: Sequence[Tensor]) -> Tensor:
        with torch.no_grad():
            answers: Tensor = model(*inputs)
        return answers

    return ask
