"""Every experiment of the paper preset, on miniatures of its own corpora: all stages up to the report.

Each method takes the tiny settings of its own tests under the experiment's; weights that are files of others
are left at random. Ray and MLflow are left out: what the stages run on them is run here, in this process.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from mien import methods
from mien.cluster import align, landmarks
from mien.config import Params, parse_section
from mien.config.corpora import RenderedCorpus
from mien.corpora import make_corpus, picture_root
from mien.corpora.rendered import render_corpus
from mien.evaluation.facts import read_facts, read_indexes
from mien.evaluation.report import build_report
from mien.evaluation.results import SCORES
from mien.evaluation.stage import evaluate_experiment
from mien.manifest.expressions import EXPRESSIONS
from mien.manifest.tables import is_gated, write_table
from mien.parts import transduction
from mien.shards.croissant import write_croissant
from mien.shards.folds import split_cell
from mien.shards.index import read_index
from mien.shards.writer import write_shards
from mien.training.kept import fetched, write_run
from mien.training.plan import make_plan
from tests import striped, tiny
from tests.corpora.rendered_cache import basis_folder
from tests.pipeline.miniatures import faces_of, plant

PRESET: dict[str, Any] = yaml.safe_load((Path(__file__).parents[2] / "presets/paper.yaml").read_text())
CORPORA = sorted({e[key] for e in PRESET["experiments"].values() for key in ("corpus", "second_corpus")})
RENDERED = {
    "kind": "rendered", "picture_px": 96, "people": 9, "expressions": list(EXPRESSIONS), "occluder_share": 0.0,
}  # fmt: skip
# whose weights the paper takes from files
WITHOUT_FILES = {"hsnet": {"stem_from": "random"}, "mkd": {"teacher": "random"}, "igd": {"teacher": "random"}}
LARGEST_BATCH = 12
SETTINGS: dict[str, Any] = {
    "align": {"crop_px": 64, "max_reject_share": 0.3},  # FERPlus has faces of less than 24 px
    "landmarks": {"model": "dlib", "max_reject_share": 0.3},
    "cluster": {"object_store_mb": 100},
    "search": {},  # made for the preset's settings, not for tiny ones
    "evaluate": {"resamples": 100, "ratio_draws": 2},
    "report": {"people_on_sheet": 1, "faces_with_landmarks": 1},
}

pytestmark = pytest.mark.slow


class Dry:
    """A data folder with shards of the corpora asked for, and what experiments left."""

    def __init__(self, root: Path, rendered: Path) -> None:
        self.root, self.rendered = root, rendered
        self.faces = faces_of(rendered)

    def params(self, corpora: list[str], **experiments: dict[str, Any]) -> Params:
        """The preset with small corpora, tiny methods and these experiments."""
        given = {}
        for name in corpora:
            entry = PRESET["corpora"][name]
            source = {"source": str(self.root / entry["source"])}
            given[name] = RENDERED if entry["kind"] == "rendered" else entry | source
        folds = {"folds": 3, "max_reject_share": 0.3, "samples_per_shard": 64}
        raw = PRESET | SETTINGS | {"corpora": given, "experiments": experiments, "shard": folds}
        raw["cluster"] = SETTINGS["cluster"] | {"storage": str(self.root / "storage")}
        used = {experiment["method"] for experiment in experiments.values()}
        raw |= {"train": {}, "methods": {name: tiny.settings(name) for name in used}}
        return parse_section(Params, raw, "presets/paper.yaml", "")

    def corpus(self, name: str) -> None:
        """The stages download to shard."""
        params, data = self.params([name]), self.root / "data"
        config, corpus = params.corpora[name], data / "corpora" / name
        manifest, aligned, points = (
            corpus / "manifest.parquet",
            data / "aligned" / name,
            data / "landmarks" / name,
        )
        if isinstance(config, RenderedCorpus):
            corpus.parent.mkdir(parents=True, exist_ok=True)
            corpus.symlink_to(self.rendered)
        else:
            if not Path(config.source).exists():
                plant(config.kind, Path(config.source), self.faces)
            make_corpus(name, config, corpus, self.root, lambda done, total: None)
        where = picture_root(config, corpus)
        align.align_corpus(name, where, manifest, aligned, params.align, params.cluster)
        landmarks.place_landmarks(name, manifest, aligned, points, params)
        inputs = {"manifest": manifest, "aligned": aligned, "landmarks": points / "points.parquet"}
        write_shards(name, **inputs, into=data / "shards" / name, params=params.shard)
        write_croissant(data / "shards" / name, config.kind, is_gated(manifest))

    def small(self, experiment: str) -> tuple[dict[str, Any], list[str]]:
        """An experiment of one cell and one epoch a phase, and the corpora that it reads."""
        entry = dict(PRESET["experiments"][experiment]) | {"folds": [0], "seeds": [0]}
        corpora = list(dict.fromkeys((entry["corpus"], entry["second_corpus"])))
        for corpus in corpora:
            if not (self.root / "data/shards" / corpus / "index.parquet").is_file():
                self.corpus(corpus)
        index = read_index(self.root / "data/shards" / entry["corpus"])
        if entry.get("trials"):
            entry |= {"trials": entry["trials"][:1], "normal": [index.classes[0]]}
        settings = merged(tiny.settings(entry["method"]), entry["settings"])
        settings |= WITHOUT_FILES.get(entry["method"], {})
        cell = self.params(corpora, one=entry | {"settings": {}}).experiments["one"].cells(index.classes)[0]
        train = split_cell(index, cell, entry["validation_share"], seed=0).train
        return entry | {"settings": briefly(settings, min(len(train), LARGEST_BATCH))}, corpora

    def run(self, experiment: str) -> None:
        """The stages train and evaluate, unless they are done."""
        if (self.root / "results" / experiment / SCORES).is_file():
            return
        entry, corpora = self.small(experiment)
        params = self.params(corpora, **{experiment: entry})
        methods.check(params)
        plan = make_plan(params, experiment, self.root / "data/shards")
        striped.trained_here(plan)
        run, results = self.root / "runs" / experiment, self.root / "results" / experiment
        with fetched(plan) as kept:
            write_run(plan, kept, run, {})
        evaluate_experiment(experiment, self.root / "data/shards" / entry["corpus"], run, results, params)


def merged(settings: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Settings with others over them, at any depth."""
    both = {
        name for name in settings if isinstance(settings[name], dict) and isinstance(over.get(name), dict)
    }
    return settings | over | {name: merged(settings[name], over[name]) for name in both}


def briefly(settings: Any, batch: int) -> Any:
    """Settings at any depth with one epoch, and with batches of at most so many faces."""
    if isinstance(settings, list):
        return [briefly(value, batch) for value in settings]
    if not isinstance(settings, dict):
        return settings
    brief = {name: briefly(value, batch) for name, value in settings.items()}
    brief |= {name: 1 for name in settings if name.endswith("epochs") or name == "faces_per_class"}
    brief |= {name: min(value, 2) for name, value in settings.items() if name == "per_class"}
    return brief | {name: min(value, batch) for name, value in settings.items() if name == "batch_size"}


def mapped_here(
    what: str,
    blocks: list[pa.Table],
    worker: Callable[..., Any],
    settings: dict[str, Any],
    schema: pa.Schema,
    into: Path,
    *_: Any,
) -> None:
    """What Ray Data does to the blocks, in this process."""
    work = worker(**settings)
    for number, block in enumerate(blocks):
        write_table(work(block), into / f"part-{number:05d}.parquet", schema)


@pytest.fixture(scope="module")
def dry(tmp_path_factory: pytest.TempPathFactory) -> Dry:
    root = tmp_path_factory.mktemp("paper")
    config = parse_section(RenderedCorpus, RENDERED, "RENDERED", "")
    cache = basis_folder(tmp_path_factory)
    render_corpus("rendered", config, root / "rendered", cache, workers=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(align, "map_blocks", mapped_here)
        patch.setattr(landmarks, "map_blocks", mapped_here)
        patch.setattr(transduction, "CLUSTERED", 1.0)  # among twenty test faces chance alone clusters labels
        yield Dry(root, root / "rendered")


@pytest.mark.parametrize("experiment", PRESET["experiments"])
def test_an_experiment_runs_from_its_archive_to_its_figures(dry: Dry, experiment: str) -> None:
    dry.run(experiment)
    assert (dry.root / "results" / experiment / SCORES).is_file()


@pytest.mark.timeout(900)  # by itself it makes all that the dry runs before it leave behind
def test_the_report_shows_them_and_no_gated_picture(dry: Dry) -> None:
    entries = {}
    for name in PRESET["experiments"]:
        dry.run(name)
        entries[name] = dry.small(name)[0]
    params = dry.params(CORPORA, **entries)
    build_report(
        dry.root / "data", dry.root / "results", dry.root / "runs", dry.root / "reports", params, "0"
    )
    page = (dry.root / "reports/index.html").read_text()
    assert [name for name in entries if name not in page] == []
    for facts in read_facts(params, dry.root / "data", read_indexes(params, dry.root / "data")):
        assert [facts.example is None, facts.sheet is None, not facts.marked] == [facts.config.gated] * 3
        assert f"<h3>{facts.name} " in page
