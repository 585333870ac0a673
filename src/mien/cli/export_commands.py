"""`mien export` as typed."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mien.cli.root import checkout_root


class To(StrEnum):
    """What a model is exported to."""

    onnx = "onnx"
    torchscript = "torchscript"
    pyfunc = "pyfunc"


def export(
    model: Annotated[
        str, typer.Argument(help="An experiment's name, a model folder, or models:/NAME@champion.")
    ],
    into: Annotated[Path, typer.Option(help="The folder that gets the file and its description.")],
    to: Annotated[To, typer.Option(help="torchscript: deprecated by PyTorch since 2.11.")] = To.onnx,
    as_json: Annotated[bool, typer.Option("--json", help="Print the description.")] = False,
) -> None:
    """Write a model as a file for other programs, preprocessing inside.

    It must answer 200 faces of the model's corpus as PyTorch does, or nothing is left. `mien predict` takes
    the file, too. Example: `mien export hsnet-rendered --to onnx --into exported`
    """
    root = checkout_root()
    if to is To.pyfunc:
        from mien.cli.export import export_folder

        written, told = export_folder(root, model, into)
    else:
        from mien.cli.export import export_file

        written, told = export_file(root, model, "onnx" if to is To.onnx else "torchscript", into)
    if as_json:
        print(json.dumps(told, indent=2))
        return
    check = told["check"]
    print(
        f"wrote {written}: {check['faces']} faces of {told['checked_on']} get PyTorch's answers "
        f"(largest difference {check['largest_difference']:.1g})"
    )
