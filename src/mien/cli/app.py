"""The `mien` command. Thin: a command imports what it needs when it runs, so that `--help` is quick."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from mien.cli import (
    backup_commands,
    corpora_commands,
    export_commands,
    predict_commands,
    registry_commands,
    submit_commands,
    tune_commands,
)
from mien.cli.root import checkout_root as _root
from mien.cli.stages import run_dvc as _dvc
from mien.cli.tables import print_json as _print_json
from mien.cli.tables import print_table as _print_table
from mien.config.errors import MienError

app = typer.Typer(
    name="mien",
    help="Photographs of faces into reproducible facial-expression research.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def main() -> None:
    """Run the command line in the checkout's root; a MienError becomes one line and exit code 2."""
    try:
        app()
    except MienError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


@app.command()
def doctor(
    brief: Annotated[bool, typer.Option(help="Only what is wrong.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check this machine, the weights and the corpora against params.yaml.

    Exits with 1 when the chosen preset cannot run. Example: `mien doctor --json`
    """
    from mien.cli.doctor import examine

    findings = examine(_root())
    if as_json:
        _print_json([finding._asdict() for finding in findings])
    else:
        shown = [f for f in findings if f.state == "bad"] if brief else findings
        marks = {"ok": "[green]ok[/]", "missing": "[yellow]--[/]", "bad": "[red]BAD[/]"}
        if shown or not brief:
            _print_table(
                ["", "what", "found", "what to do"],
                [[marks[f.state], f.what, f.found, f.advice] for f in shown],
            )
    if any(finding.state == "bad" for finding in findings):
        raise typer.Exit(1)


@app.command()
def preset(name: Annotated[str, typer.Argument(help="demo, study, paper or ci.")]) -> None:
    """Write params.yaml from a preset, without what needs a corpus that is not there.

    Example: `mien preset study`
    """
    from mien.cli.presets import write_preset
    from mien.config import load_params
    from mien.corpora.catalogue import CATALOGUE

    root = _root()
    params, absent, saved = write_preset(root, name)
    if saved is not None:
        print(f"params.yaml had changes of your own: they are in {saved.name}", file=sys.stderr)
    print(f"params.yaml is now {name}: {len(params.corpora)} corpora, {len(params.experiments)} experiments")
    if absent:
        print("left out, because their corpus is not there (mien corpora add NAME PATH, then this again):")
    everything = load_params(root / "presets" / f"{name}.yaml").corpora if absent else {}
    for corpus, experiments in absent.items():
        config = everything[corpus]
        whom = f"; ask {CATALOGUE[config.kind].ask}" if config.kind in CATALOGUE else ""
        print(f"  {corpus}: {config.source} is missing or empty{whom}")
        print(f"    {', '.join(experiments) or 'no experiment needs it'}")


corpora_app = typer.Typer(rich_markup_mode="markdown")
app.add_typer(corpora_app, name="corpora")


@corpora_app.callback(invoke_without_command=True)
def corpora(context: typer.Context, as_json: AsJson = False) -> None:
    """List the corpora of params.yaml and of the papers, and what is there of them.

    Example: `mien corpora --json`
    """
    if context.invoked_subcommand is not None:
        return
    from mien.cli.listing import list_corpora

    rows = list_corpora(_root())
    if as_json:
        _print_json(rows)
        return
    present = ["name", "kind", "state", "pictures", "rejected", "people", "classes", "differs", "source"]
    known = ["kind", "state", "used_by", "official_classes", "official_size", "licence", "sure"]
    papers = [row for row in rows if row["licence"]]
    for columns, shown in ((present, [row for row in rows if row["name"]]), (known, papers)):
        _print_table(columns, [_cells(row, columns) for row in shown])
        print()
    print("Whom to ask, and what `source` then holds (mien corpora add NAME PATH; nothing gated is fetched):")
    for row in papers:
        print(f"  {row['kind']}: {row['ask']}\n    {row['put']}")


@corpora_app.command()
def add(
    name: Annotated[str, typer.Argument(help="A corpus of params.yaml.")],
    path: Annotated[Path, typer.Argument(help="The owner's zip, tar, tar.gz or 7z, or a folder of them.")],
) -> None:
    """Unpack a corpus as its owner ships it to the `source` that params.yaml names.

    Digests are kept beside it, so that a changed archive is noticed.
    Example: `mien corpora add raf_db basic.zip`
    """
    import logging

    from mien.config import load_params
    from mien.config.progress import Progress
    from mien.corpora.adding import add_archive

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    root = _root()
    known = load_params(root / "params.yaml").corpora
    if name not in known:
        raise MienError(f"{name} is not a corpus of params.yaml, which has {', '.join(known)}; add it there.")
    print(add_archive(name, known[name], root, path, Progress(f"add {name}, bytes")))


corpora_app.command()(corpora_commands.fetch)


@app.command()
def methods(
    classes: Annotated[int, typer.Option(min=2, max=8, help="How many expressions to build for.")] = 7,
    as_json: AsJson = False,
) -> None:
    """List the methods at their papers' sizes. Example: `mien methods --classes 8 --json`"""
    from mien.cli.listing import list_methods

    rows = list_methods(classes)
    if as_json:
        _print_json(rows)
        return
    table = []
    for row in rows:
        for named in (row, *row["variants"]):
            label = row["name"] if named is row else f"  {named['name']}"
            size = [f"{named[c]:,}" for c in ("parameters", "trainable")] + [f"{named['gmacs']:.3f}"]
            rest = (
                [", ".join(row["phases"]), ", ".join(row["needs"]), row["paper"]]
                if named is row
                else ["", "", ""]
            )
            table.append([label, *size, *rest])
    _print_table(["name", "parameters", "trainable", "GMACs", "phases", "needs", "paper"], table)


@app.command()
def train(
    experiment: Annotated[str, typer.Argument(help="A name under `experiments` in params.yaml.")],
    until: Annotated[
        str | None,
        typer.Option(help="The last phase to train (sna); weights go to runs/EXPERIMENT-until-PHASE."),
    ] = None,
) -> None:
    """Train one experiment and all that it needs before. Example: `mien train hsnet-rendered`"""
    from mien.config import load_params

    root = _root()
    known = load_params(root / "params.yaml").experiments
    if experiment not in known:
        raise MienError(f"{experiment} is not an experiment of params.yaml; it has {', '.join(known)}.")
    if until is None:
        raise typer.Exit(_dvc(root, "repro", f"evaluate@{experiment}"))
    entry = known[experiment]
    needed = {f"shard@{name}" for name in (entry.corpus, entry.second_corpus)}
    if code := _dvc(root, "repro", *sorted(needed | {f"tune@{experiment}"})):
        raise typer.Exit(code)
    from mien.cli.until import train_until

    print(train_until(root, experiment, until))


@app.command()
def repro() -> None:
    """Run every stage that is out of date, then say where the results are. Example: `mien repro`"""
    from mien.cli.repro import reproduce

    root = _root()
    if code := reproduce(root):
        raise typer.Exit(code)
    _say_where(root)


@app.command()
def report() -> None:
    """Bring the report up to date and say where it is. Example: `mien report`"""
    root = _root()
    if code := _dvc(root, "repro", "report"):
        raise typer.Exit(code)
    _say_where(root)


@app.command()
def push(
    what: Annotated[
        list[str] | None, typer.Argument(help="Corpora, experiments or stages; none: all.")
    ] = None,
    remote: Annotated[str | None, typer.Option(help="A DVC remote; else the default one.")] = None,
) -> None:
    """Send stage outputs to a DVC remote; what was made from a gated corpus stays here.

    `dvc push` sends none: dvc.yaml marks them all. `corpora.NAME.allow_push` lets a gated corpus go.
    Example: `mien push rendered`
    """
    from mien.cli.push import push as send

    sent, kept, files = send(_root(), what or [], remote)
    print(f"{len(sent)} outputs are at the remote, {files} files of them new")
    for path, corpora in kept.items():
        print(f"kept here: {path} (made from {', '.join(corpora)}, which is gated)")


@app.command()
def ui(port: Annotated[int, typer.Option(min=1, max=65535)] = 5000) -> None:
    """Open the MLflow UI over this checkout's runs, on loopback. Example: `mien ui --port 5001`"""
    from mien.tracking.server import ARTIFACTS, tracking_uri

    root = _root()
    uri = tracking_uri(root)
    if uri.startswith(("http://", "https://")):
        raise MienError(f"MLFLOW_TRACKING_URI is a server already: open {uri} in a browser.")
    # without its job runner the server needs half a gigabyte instead of two
    environment = {
        **os.environ,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    words = ["-m", "mlflow", "server", "--backend-store-uri", uri]
    words += ["--artifacts-destination", (root / ARTIFACTS).as_uri()]
    words += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    # without the query it shows what it has for language models, and neither runs nor models
    print(f"http://127.0.0.1:{port}/#/experiments?workflowType=machine_learning", flush=True)
    os.execve(sys.executable, [sys.executable, *words], environment)


app.command()(export_commands.export)
app.command()(predict_commands.predict)
app.command()(predict_commands.serve)
app.command()(registry_commands.promote)
app.command()(registry_commands.rollback)
app.command()(registry_commands.compare)
app.command()(registry_commands.retrain)
app.command()(tune_commands.tune)
app.command()(submit_commands.submit)
app.command()(backup_commands.backup)
app.command()(backup_commands.restore)


def _say_where(root: Path) -> None:
    print(f"\nreport:    {root / 'reports' / 'index.html'}\ntable:     {root / 'reports' / 'results.md'}")
    print("MLflow UI: make ui   (http://127.0.0.1:5000)")


def _cells(row: dict[str, Any], columns: list[str]) -> list[Any]:
    return [", ".join(row[c]) if isinstance(row[c], list) else row[c] for c in columns]
