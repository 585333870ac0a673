"""`mien serve`: find the model, take the token out of the environment, and serve."""

import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from mien.cli.models import find_model
from mien.cluster.serving.access import TOKEN
from mien.cluster.serving.run import Address, serve
from mien.config import load_params


def serve_model(root: Path, model: str, host: str, port: int, certificate: Path | None) -> None:
    """Serve the model that a word stands for until it is ended. MienError: see `find_model` and `serve`."""
    token = os.environ.pop(TOKEN, None)  # Ray's processes need not know it
    settings = load_params(root / "params.yaml").serve
    with tempfile.TemporaryDirectory(prefix="mien-model-") as scratch:
        # in a process of its own: what reads runs and registry needs more memory than all that serves
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            found = pool.submit(_tried, root, model, Path(scratch)).result()
        title = model.rstrip("/").rpartition("/")[2]  # visitors need not know where the model lies
        serve(found, title, settings, Address(host, port, token, certificate), announce=_say)


def _tried(root: Path, model: str, scratch: Path) -> Path:
    """The model's folder or file. MienError: there is none, or none that can be loaded."""
    from mien.evaluation.inference import Predictor  # torch, which only this short-lived process needs

    found = find_model(root, model, scratch)
    Predictor(found)
    return found


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
