"""`mien promote`, `rollback`, `compare` and `retrain` as typed."""

from pathlib import Path
from typing import Annotated

import typer

from mien.cli.root import checkout_root

KEPT = 11
"""Exit code of `promote` and `retrain` when the champion stays."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def promote(
    model: Annotated[
        str, typer.Argument(help="An experiment's name (its newest version) or models:/NAME/3.")
    ],
    refreeze: Annotated[
        bool, typer.Option(help="The frozen faces were changed on purpose: compare on those of now.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Hold a version against its model's champion on the frozen faces; if it is better, it is champion.

    What is better says `promotion` in params.yaml. A record is kept either way (`mien ui`, experiment
    mien-promotions). Exits with 11 when the champion stays. Example: `mien promote hsnet-rendered`
    """
    from mien.cli.promote import promote_version
    from mien.cli.tables import print_json

    record = promote_version(checkout_root(), model, refreeze)
    if as_json:
        print_json(record.as_json())
    else:
        print(f"{record.model} {record.new} {record.decision}: {record.reason}")
    if record.decision == "kept":
        raise typer.Exit(KEPT)


def rollback(
    model: Annotated[str, typer.Argument(help="An experiment's or a model's name.")], as_json: AsJson = False
) -> None:
    """Make the champion before this one champion again. Example: `mien rollback hsnet-rendered`"""
    from mien.cli.promote import rollback_model
    from mien.cli.tables import print_json

    record = rollback_model(checkout_root(), model)
    if as_json:
        print_json(record.as_json())
    else:
        print(f"{record.model} {record.decision}: {record.reason}")


def compare(
    first: Annotated[str, typer.Argument(help="An experiment trained here, or the id of an MLflow run.")],
    second: Annotated[str, typer.Argument(help="The same.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for the table of differing faces, and pictures of them.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Set two trainings side by side on the faces that both have tested.

    Figures with intervals, a paired test over people, where their confusions differ, and which faces they
    name differently; of one-class trainings the AUCs of each normal class, and a paired test over trainings.
    Example: `mien compare resnet18-rendered hsnet-rendered --out compared`
    """
    from mien.cli.compare import compare_two
    from mien.cli.compared_tables import print_comparison
    from mien.cli.tables import print_json

    found, files = compare_two(checkout_root(), first, second, out)
    if as_json:
        print_json(found.as_json())
        return
    print_comparison(found)
    for file in files:
        print(file)


def retrain() -> None:
    """Look for new or changed corpora; if there are any, train challengers, judge them, publish and notify.

    One at a time; what was killed is finished by the next call. MIEN_NOTIFY_URL: a webhook or smtp://.
    Exits with 0 nothing new, 10 promoted, 11 champions stay, 12 another one is at work, 2 failed.
    Example: `mien retrain`
    """
    import logging
    import sys

    from mien.cli.retrain import Outcome
    from mien.cli.retrain import retrain as run
    from mien.cli.stages import run_dvc

    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    root = checkout_root()
    done = run(root, lambda names: run_dvc(root, "repro", *names))
    if done.outcome in (Outcome.NOTHING_NEW, Outcome.BUSY):
        print(done.lines[-1])
    else:
        print(f"mien retrain: {done.outcome.name.lower()}")
    raise typer.Exit(int(done.outcome))
