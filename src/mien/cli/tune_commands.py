"""`mien tune` as typed."""

from typing import Annotated

import typer

from mien.cli.root import checkout_root

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def tune(
    name: Annotated[
        str, typer.Argument(help="An experiment under `searches` in params.yaml, or the method of one.")
    ],
    as_json: AsJson = False,
) -> None:
    """Search for an experiment's settings on faces that it does not test, and all that this needs before.

    Stopped or killed, it goes on where it was when typed again; more `trials` go on too. An experiment with
    `tuned: true` then trains with the best. Example: `mien tune hsnet-tuned`
    """
    from mien.cli.stages import run_dvc
    from mien.cli.tables import print_json, print_table
    from mien.cli.tune import found, searched

    root = checkout_root()
    experiment = searched(root, name)
    if code := run_dvc(root, "repro", f"tune@{experiment}"):
        raise typer.Exit(code)
    told = found(root, experiment)
    if as_json:
        print_json(told)
        return
    print_table(["setting", "before", "best"], [list(row) for row in told["changes"]])
    print(told["sentence"])
