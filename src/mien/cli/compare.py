"""`mien compare A B`: two experiments of this checkout, or MLflow runs, side by side."""

import tempfile
from pathlib import Path

from mien.cli.promote import DATA, RUNS, told_if_away
from mien.config import MienError, Params, load_params
from mien.config.corpora import withheld
from mien.evaluation import figures
from mien.evaluation.compared import Comparison, Side, compare
from mien.evaluation.compared_sheet import sheet
from mien.evaluation.facts import Layout
from mien.evaluation.predictions import PREDICTIONS_FILE, RUN, read_predictions
from mien.evaluation.results import read_json, write_csv, write_json
from mien.manifest.tables import whole
from mien.shards.index import Index, read_index
from mien.tracking.compared_runs import find_run, predictions_of
from mien.tracking.server import connect

COMPARISON, TABLE, SHEET, CONFUSION = "comparison.json", "differing.csv", "differing.png", "confusion.png"


def compare_two(root: Path, first: str, second: str, into: Path | None) -> tuple[Comparison, list[Path]]:
    """Compare two trainings; with `into`, tables and pictures go there, and their paths come back.

    The pictures of a corpus whose terms forbid it are not drawn. MienError: what cannot be compared.
    """
    params = load_params(root / "params.yaml")
    with tempfile.TemporaryDirectory(prefix="mien-compare-") as scratch:
        sides = [_side(root, params, words, Path(scratch)) for words in (first, second)]
    index = _index(root, sides[0].corpus)
    found = compare(sides[0], sides[1], index, params.evaluate)
    return found, [] if into is None else _write(found, index, params, into)


def _side(root: Path, params: Params, words: str, scratch: Path) -> Side:
    run = root / RUNS / words
    if (run / RUN).is_file():
        told = read_json(run / RUN)
        if told["scores"]:
            raise MienError(f"{words} learns one class at a time; the report compares such experiments.")
        made = read_predictions(run / PREDICTIONS_FILE, len(told["classes"]))
        return Side(words, told["method"], told["corpus"], told["shards_digest"], made)
    client = connect(root)
    with told_if_away(client):
        logged = find_run(client, words)
        if logged is None:
            trained = ", ".join(sorted(path.parent.name for path in (root / RUNS).glob(f"*/{RUN}"))) or "none"
            raise MienError(
                f"{words} is neither an experiment trained here ({trained}) nor an MLflow run's id."
            )
        path = predictions_of(client, logged, scratch)
    tags = logged.data.tags
    made = read_predictions(path, len(_index(root, tags["corpus"]).classes))
    name = f"{logged.info.run_name} {words[:8]}"  # two runs may bear one name
    return Side(name, tags["method"], tags["corpus"], tags["shards_digest"], made)


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
    pictures = {CONFUSION: figures.confusion_difference(found.confusion_points, found.classes, title)}
    config = params.corpora.get(found.sides[0].corpus)
    if found.differing and config is not None and not withheld(config):
        pictures[SHEET] = sheet(index, found.differing, first, second)
    for name, data in pictures.items():
        with whole(into / name) as file:
            file.write_bytes(data)
    return [into / name for name in (COMPARISON, TABLE, *pictures)]
