"""Where the checkout is, for every command."""

from pathlib import Path

from mien.config.errors import MienError


def checkout_root() -> Path:
    """The checkout: the nearest folder from the working folder upwards with a dvc.yaml. MienError: none."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "dvc.yaml").is_file():
            return folder
    raise MienError(f"{here} is not inside a mien checkout (no dvc.yaml here or above); change into one.")
