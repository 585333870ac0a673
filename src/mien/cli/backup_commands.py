"""`mien backup` and `mien restore` as typed."""

from pathlib import Path
from typing import Annotated

import typer

from mien.cli.root import checkout_root


def backup(into: Annotated[Path, typer.Argument(help="A folder that is not there yet.")]) -> None:
    """Copy MLflow's database and artifacts and the DVC remote into a folder, with digests.

    Others may go on writing meanwhile. Before a server: MLFLOW_BACKEND_STORE_URI and
    MLFLOW_ARTIFACTS_DESTINATION as the server has them. Example: `mien backup /mnt/backup/2026-11-22`
    """
    from mien.cli.backup import backup as copy

    held = copy(checkout_root(), into.absolute())
    print(f"{into}: {_told(held.artifacts, held.objects)}")
    if held.objects is None:
        print("no DVC remote is set (dvc remote add -d NAME URL): what the stages made is not in it")


def restore(source: Annotated[Path, typer.Argument(help="What `mien backup` wrote.")]) -> None:
    """Fill an empty database, the place of its artifacts and the DVC remote from a back-up.

    Stop MLflow's server first. A restore that was cut off is made good by typing it again.
    Example: `mien restore /mnt/backup/2026-11-22`
    """
    from mien.cli.backup import restore as fill

    held = fill(checkout_root(), source.absolute())
    print(f"restored: {_told(held.artifacts, held.objects)}")


def _told(artifacts: int, objects: int | None) -> str:
    remote = "" if objects is None else f", {objects} objects of the DVC remote"
    return f"the database, {artifacts} files of artifacts{remote}"
