"""`mien compare A B`: two experiments of this checkout, or MLflow runs, side by side."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from mien import methods
from mien.cli.promote import DATA, RUNS, told_if_away
from mien.config import MienError, Params, load_params
from mien.config.corpora import withheld
from mien.evaluation import figures
from mien.evaluation.compared import Comparison, Side, compare
from mien.evaluation.compared_sheet import sheet
from mien.evaluation.facts import Layout
from mien.evaluation.one_class.compared import OneClassComparison, OneClassSide, compare_one_class
from mien.evaluation.one_class.scores import read_alien_scores
from mien.evaluation.predictions import PREDICTIONS_FILE, RUN, read_predictions
from mien.evaluation.results import read_json, write_csv, write_json
from mien.manifest.tables import whole
from mien.shards.index import Index, read_index
from mien.tracking.compared_runs import find_run, predictions_of
from mien.tracking.server import connect

COMPARISON, TABLE, SHEET, CONFUSION = "comparison.json", "differing.csv", "differing.png", "confusion.png"
CELLS = "cells.csv"


def compare_two(
    root: Path, first: str, second: str, into: Path | None
) -> tuple[Comparison | OneClassComparison, list[Path]]:
    """Compare two trainings; with `into`, tables and pictures go there, and their paths come back.

    The pictures of a corpus whose terms forbid it are not drawn. MienError: what cannot be compared.
    """
    params = load_params(root / "params.yaml")
    with tempfile.TemporaryDirectory(prefix="mien-compare-") as scratch:
        one, two = (_side(root, params, words, Path(scratch)) for words in (first, second))
    index = _index(root, one.corpus)
    found: Comparison | OneClassComparison
    if isinstance(one, Side) and isinstance(two, Side):
        found = compare(one, two, index, params.evaluate)
        return found, [] if into is None else _write(found, index, params, into)
    if isinstance(one, OneClassSide) and isinstance(two, OneClassSide):
        found = compare_one_class(one, two, index, params.evaluate)
        return found, [] if into is None else _write_one_class(found, into)
    alone = one if isinstance(one, OneClassSide) else two
    raise MienError(
        f"{alone.name} learns one class at a time and the other tells all apart: they have no figure in "
        "common; compare two of a kind."
    )


def _side(root: Path, params: Params, words: str, scratch: Path) -> Side | OneClassSide:
    run = root / RUNS / words
    if (run / RUN).is_file():
        told = read_json(run / RUN)
        facts = words, told["method"], told["corpus"], told["shards_digest"]
        return _read(*facts, run / PREDICTIONS_FILE, told["classes"], told["scores"])
    client = connect(root)
    with told_if_away(client):
        logged = find_run(client, words)
        if logged is None:
            trained = ", ".join(sorted(path.parent.name for path in (root / RUNS).glob(f"*/{RUN}"))) or "none"
            raise MienError(
                f"{words} is neither an experiment trained here ({trained}) nor the whole id of an MLflow "
                "run."
            )
        path = predictions_of(client, logged, scratch)
    tags = logged.data.tags
    name = f"{logged.info.run_name} {words[:8]}"  # two runs may bear one name
    scores = methods.method_class(tags["method"]).scores
    classes = _index(root, tags["corpus"]).classes
    return _read(name, tags["method"], tags["corpus"], tags["shards_digest"], path, classes, scores)


def _read(
    name: str,
    method: str,
    corpus: str,
    digest: str,
    predictions: Path,
    classes: Sequence[str],
    scores: Sequence[str],
) -> Side | OneClassSide:
    if scores:
        return OneClassSide(name, method, corpus, digest, read_alien_scores(predictions, scores))
    return Side(name, method, corpus, digest, read_predictions(predictions, len(classes)))


def _index(root: Path, corpus: str) -> Index:
    return read_index(Layout.below(root / DATA, corpus).shards)


def _write(found: Comparison, index: Index, params: Params, into: Path) -> list[Path]:
    first, second = (side.name for side in found.sides)
    into.mkdir(parents=True, exist_ok=True)
    write_json(found.as_json(), into / COMPARISON)
    header = ["key", "actual", first, second, "right"]
    rows = ([f.key, f.actual, f.first, f.second, f.right] for f in found.differing)
    write_csv(header, rows, into / TABLE)
    title = f"{second}\nless {first}, in points"
    pictures = {CONFUSION: figures.class_differences(found.confusion_points, found.classes, title)}
    config = params.corpora.get(found.sides[0].corpus)
    if found.differing and config is not None and not withheld(config):
        pictures[SHEET] = sheet(index, found.differing, first, second)
    return [into / COMPARISON, into / TABLE, *_write_pictures(pictures, into)]


def _write_one_class(found: OneClassComparison, into: Path) -> list[Path]:
    first, second = (side.name for side in found.sides)
    into.mkdir(parents=True, exist_ok=True)
    write_json(found.as_json(), into / COMPARISON)
    header = ["trial", "normal", "fold", "seed", f"AUC {first}", f"AUC {second}"]
    rows = (
        [trial.trial, c.cell.normal, c.cell.fold, c.cell.seed, *(area.macro for area in c.areas)]
        for trial in found.trials
        for c in trial.cells
    )
    write_csv(header, rows, into / CELLS)
    pictures = {
        f"pairs-{trial.trial}.png": figures.class_differences(
            trial.pairwise_points,
            found.classes,
            f"AUC of {second}\nless {first}, in points",
            rows="normal",
            columns="alien",
        )
        for trial in found.trials
    }
    return [into / COMPARISON, into / CELLS, *_write_pictures(pictures, into)]


def _write_pictures(pictures: Mapping[str, bytes], into: Path) -> list[Path]:
    for name, data in pictures.items():
        with whole(into / name) as file:
            file.write_bytes(data)
    return [into / name for name in pictures]
