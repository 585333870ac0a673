"""Which trained model a word of the command line stands for."""

import json
from pathlib import Path

from mien.config import MienError


def find_model(root: Path, model: str, scratch: Path) -> Path:
    """The folder of weights behind an experiment's name, a folder, or an address in the registry.

    A file that `mien export` wrote stands for itself. What the registry gives is fetched into `scratch`.
    MienError tells what is trained here.
    """
    from mien.evaluation.exported import is_exported
    from mien.methods import DESCRIPTION

    if model.startswith("models:/"):
        from mien.tracking.registry import fetch_model

        return fetch_model(model, root, scratch)
    for folder in (Path(model), root / model):
        if (folder / DESCRIPTION).is_file() or is_exported(folder):
            return folder
    run = root / "runs" / model
    if (run / "run.json").is_file():
        from mien.tracking.registry import choose

        chosen: Path = choose(json.loads((run / "run.json").read_text(encoding="utf-8")), run).folder
        return chosen
    trained = sorted(path.parent.name for path in (root / "runs").glob("*/run.json"))
    known = (
        f"trained here: {', '.join(trained)}" if trained else "nothing is trained here yet, run `make repro`"
    )
    raise MienError(f"{model} is neither a trained experiment, a model folder nor models:/NAME; {known}.")
