"""The registered model, as MLflow loads it: this file is copied beside the weights, and nothing is pickled.

A table with the column `picture` (encoded pictures: JPEG, PNG, ...) in; per picture a probability an
expression, the likeliest `expression`, and `reason` where there is no answer (the others are then empty).
"""

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from mien.tracking.package import EXPRESSION, MODEL, PICTURE, REASON


class FaceModel(PythonModel):
    """Detection, alignment and prediction in one."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the weights."""
        from mien.evaluation.inference import Predictor  # torch takes seconds; a signature is read without it

        self._predictor = Predictor(Path(context.artifacts[MODEL]))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """One row a picture, in the order of the pictures."""
        answers = self._predictor.predict_encoded([bytes(data) for data in model_input[PICTURE]])
        rows: list[dict[str, float | str | None]] = [
            {**(a.probabilities or {}), EXPRESSION: a.expression, REASON: a.reason} for a in answers
        ]
        columns = [*self._predictor.classes, EXPRESSION, REASON]
        types = dict.fromkeys(self._predictor.classes, "float64")
        return pd.DataFrame(rows, columns=columns).astype(types)


set_model(FaceModel())  # how MLflow finds the model in a file of code
