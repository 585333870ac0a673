"""`mien submit`: training on a cluster."""

from typing import Annotated

import typer

from mien.cli.root import checkout_root


def submit(
    targets: Annotated[list[str], typer.Argument(help="Experiments; or `train` for all of them.")],
    address: Annotated[
        str | None,
        typer.Option(help="Ray's dashboard; else RAY_API_SERVER_ADDRESS, else http://127.0.0.1:8265."),
    ] = None,
) -> None:
    """Train experiments on a Ray cluster; what comes of it lies here as if `dvc repro` had trained it.

    Sends the commit and params.yaml; shards go to `cluster.storage` (s3://) once. Ctrl-C stops the job. The
    same command follows a job that runs already, and goes on from what a failed one has trained. Exits with
    the job's own code, 130 when it was stopped.
    Example: `mien submit hsnet-rendered --address http://127.0.0.1:8265`
    """
    from mien.cli.submit import submit as send

    raise typer.Exit(send(checkout_root(), targets, address))
