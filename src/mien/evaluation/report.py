"""The report: one page without anything outside it, one Markdown table, the headline figures, and plots."""

import base64
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from rich.console import Console
from rich.progress import track

from mien.config import MienError, Params
from mien.evaluation import figures, notice, rows
from mien.evaluation.closed_set.section import ClosedSetSection, make_closed_set_section
from mien.evaluation.closed_set.text import closed_set_markdown
from mien.evaluation.facts import CorpusFacts, read_facts, read_indexes
from mien.evaluation.figures import Bar
from mien.evaluation.identity.section import IdentitySection, draw_identity, make_identity_section
from mien.evaluation.identity.text import identity_markdown
from mien.evaluation.markdown import markdown_table
from mien.evaluation.neighbourhood.section import NeighbourhoodSection, make_neighbourhood_section
from mien.evaluation.neighbourhood.text import neighbourhood_markdown
from mien.evaluation.one_class.heat import HeatMaps, read_heat_maps
from mien.evaluation.one_class.outcomes import read_one_class
from mien.evaluation.one_class.paper import ERRATA
from mien.evaluation.one_class.results import one_class_headline
from mien.evaluation.one_class.section import (
    OneClassSection,
    draw_ratio,
    make_section,
    picture_name,
    trials_of,
)
from mien.evaluation.one_class.text import one_class_markdown
from mien.evaluation.outcomes import Difference, Outcome, differences, read_outcomes
from mien.evaluation.results import headline, summary, write_csv, write_json
from mien.evaluation.searches.section import SearchShown, draw_search, read_searches, show_search
from mien.evaluation.searches.text import searches_markdown
from mien.manifest.tables import whole
from mien.shards.index import Index

TEMPLATE = "report.html.j2"
PAGE, TABLE, FIGURES_FILE, FIGURES, PLOTS = "index.html", "results.md", "metrics.json", "metrics", "plots"
CHOSEN_CURVE = "validation_mean_accuracy"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shown:
    """All that the page and the table show."""

    params: Params
    commit: str
    indexes: Mapping[str, Index]
    outcomes: Sequence[Outcome]
    differences: Sequence[Difference]
    corpora: Sequence[CorpusFacts]
    closed_set: ClosedSetSection | None
    one_class: OneClassSection | None
    heat: HeatMaps | None
    identity: IdentitySection | None
    neighbourhood: NeighbourhoodSection | None
    searches: Sequence[SearchShown] = ()

    @property
    def trained(self) -> dict[str, None]:
        """The corpora that any experiment here was tested on."""
        one_class = self.one_class.outcomes if self.one_class else ()
        corpora = [outcome.entry.corpus for outcome in self.outcomes]
        return dict.fromkeys([*corpora, *(outcome.entry.corpus for outcome in one_class)])


def build_report(
    data: Path, results: Path, runs: Path, into: Path, params: Params, commit: str, tuned: Path | None = None
) -> None:
    """Read everything that was made and write the report's folder. MienError names what is missing.

    tuned: where stage `tune` has left what it found; None shows no search.
    """
    searches = read_searches(params, tuned) if tuned else {}
    indexes = read_indexes(params, data)
    outcomes = read_outcomes(params, results, runs, indexes)
    one_class = read_one_class(params, results, runs)
    if not outcomes and not one_class:
        raise MienError(f"{results} holds no results of an experiment in params.yaml; run `dvc repro`.")
    shown = Shown(
        params=params,
        commit=commit,
        indexes=indexes,
        outcomes=outcomes,
        differences=differences(outcomes, params.evaluate),
        corpora=read_facts(params, data, indexes),
        closed_set=make_closed_set_section(outcomes, runs),
        one_class=make_section(one_class, indexes),
        heat=read_heat_maps(one_class, indexes, params),
        identity=make_identity_section(outcomes, runs, indexes, params),
        neighbourhood=make_neighbourhood_section(outcomes, runs, indexes, params),
        searches=[show_search(name, told) for name, told in searches.items()],
    )
    drawn = _draw(shown)
    for name, told in searches.items():
        drawn |= draw_search(name, told)
    _write_plots(shown, drawn, into / PLOTS)
    aucs = {outcome.name: one_class_headline(outcome.scores) for outcome in one_class}
    heads = {outcome.name: headline(outcome.scores) for outcome in outcomes}
    write_json(heads | aucs, into / FIGURES_FILE)
    rows_of = {outcome.name: summary(outcome.scores) for outcome in outcomes} | aucs
    for name, row in rows_of.items():
        write_json(row, into / FIGURES / f"{name}.json")
    _write(into / TABLE, markdown(shown))
    _write(into / PAGE, page(shown, drawn))
    log.info("report: %s", into / PAGE)


def page(shown: Shown, drawn: Mapping[str, bytes]) -> str:
    """The HTML page; `drawn` holds PNG pictures by name, which go into the page itself."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "png": lambda name: _embedded(drawn[name], "png"),
        "jpeg": lambda data: _embedded(data, "jpeg"),
        "webp": lambda data: _embedded(data, "webp"),
        "percent": rows.percent,
        "shade": rows.shade,
        "words": rows.words,
        "protocol": rows.protocol,
        "duration": rows.duration,
    }
    return environment.get_template(TEMPLATE).render(**_context(shown), drawn=set(drawn))


def markdown(shown: Shown) -> str:
    """The results as a table for a README, with what is needed to read it."""
    table = [row.cells for row in rows.result_rows(shown.outcomes)]
    lines = ["# Results", "", f"Preset `{shown.params.preset}`, commit `{shown.commit}`.", ""]
    if table:
        lines += [*markdown_table(rows.HEADER, table), ""]
    lines += [f"- {sentence}" for sentence in reading(shown)]
    if shown.differences:
        header = ("experiment", "against", "difference of mean accuracy, points", "so it is")
        lines += ["", "## Differences, person by person", ""]
        lines += markdown_table(header, [rows.difference_row(d) for d in shown.differences])
    if shown.identity:
        lines += identity_markdown(shown.identity)
    if shown.neighbourhood:
        lines += neighbourhood_markdown(shown.neighbourhood)
    if shown.closed_set:
        lines += closed_set_markdown(shown.closed_set)
    if shown.one_class:
        lines += one_class_markdown(shown.one_class, shown.heat)
    if shown.searches:
        lines += searches_markdown(shown.searches)
    lines += ["", "## Uses that the law forbids", "", *(f"- {sentence}" for sentence in notice.FORBIDDEN)]
    lines += ["", "## Limits", "", *(f"- {sentence}" for sentence in notice.LIMITS), ""]
    return "\n".join(lines)


def reading(shown: Shown) -> list[str]:
    """How to read the results table: intervals, protocol of each corpus, and what the rendered corpus is."""
    confidence = f"{shown.params.evaluate.confidence * 100:g} %"
    sentences = [
        f"In brackets: {confidence} interval over people, from {shown.params.evaluate.resamples} bootstrap "
        "resamples of the tested people of each fold. Figures are means over folds and seeds.",
        "Time is that of training all folds and seeds. A paper's figure is of the paper's own corpus.",
    ]
    sentences = sentences if shown.outcomes else []
    for (corpus, folds_by), outcome in _used(shown).items():
        tested = outcome.scores
        who = f"{tested['samples']} faces of {tested['people']} {tested['unit']} tested"
        sentences.append(f"{corpus}: {rows.protocol(shown.indexes[corpus], folds_by)[0]} {who}.")
    if any(facts.kind == "rendered" and facts.name in shown.trained for facts in shown.corpora):
        sentences.append(notice.RENDERED)
    return sentences


def _used(shown: Shown) -> dict[tuple[str, str], Outcome]:
    """The first outcome of each corpus and way to tell its parts apart."""
    found: dict[tuple[str, str], Outcome] = {}
    for outcome in shown.outcomes:
        found.setdefault((outcome.entry.corpus, outcome.entry.folds_by), outcome)
    return found


def _context(shown: Shown) -> dict[str, Any]:
    one_class = shown.one_class.outcomes if shown.one_class else ()
    ways = dict.fromkeys([*_used(shown), *((outcome.entry.corpus, "subject") for outcome in one_class)])
    loud = [(corpus, *rows.protocol(shown.indexes[corpus], folds_by)) for corpus, folds_by in ways]
    run = {outcome.name for outcome in shown.outcomes} | {outcome.name for outcome in one_class}
    return {
        "shown": shown,
        "header": rows.HEADER,
        "results": rows.result_rows(shown.outcomes),
        "reading": reading(shown),
        "warnings": [(name, text) for name, text, warn in loud if warn],
        "pairs": [rows.difference_row(difference) for difference in shown.differences],
        "confidence": f"{shown.params.evaluate.confidence * 100:g} %",
        "by_corpus": _by_corpus(shown.outcomes),
        "trained": shown.trained,
        "missing": [name for name in shown.params.experiments if name not in run],
        "errata": ERRATA,
        "unmade": [name for name in shown.params.corpora if name not in shown.indexes],
        "forbidden": notice.FORBIDDEN,
        "limits": notice.LIMITS,
        "solved": [o.name for o in shown.outcomes if not (o.curves.losses or o.curves.shares)],
    }


def _by_corpus(outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    found: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        found.setdefault(outcome.entry.corpus, []).append(outcome)
    return found


def _draw(shown: Shown) -> dict[str, bytes]:
    """Every figure as PNG, by the name that its file has."""
    drawn = {}
    for corpus, outcomes in _by_corpus(shown.outcomes).items():
        bars = [_bar(outcome) for outcome in outcomes]
        label = f"mean accuracy on {corpus}, % (bars: {shown.params.evaluate.confidence * 100:g} % interval)"
        drawn[f"mean-accuracy-{corpus}"] = figures.compared(bars, rows.chance(outcomes[0])[1], label)
    for corpus, trial, own in trials_of(shown.one_class.outcomes if shown.one_class else ()):
        drawn[picture_name(corpus, trial)] = draw_ratio(own, trial)
    if shown.identity:
        drawn |= draw_identity(shown.identity)
    for outcome in track(shown.outcomes, "figures", console=Console(stderr=True)):
        made = figures.of_experiment(outcome.name, outcome.scores, outcome.curves)
        drawn |= {f"{kind}-{outcome.name}": picture for kind, picture in made.items()}
    return drawn


def _bar(outcome: Outcome) -> Bar:
    bounds = outcome.scores["figures"]["mean_accuracy"]["people"]
    values = (math.nan if bounds[name] is None else bounds[name] for name in ("mean", "low", "high"))
    return Bar(outcome.name, *values)


def _write_plots(shown: Shown, drawn: Mapping[str, bytes], into: Path) -> None:
    """What `dvc plots show` reads: one folder a kind of plot, one file an experiment."""
    for name, data in drawn.items():
        with whole(into / "pictures" / f"{name}.png") as scratch:
            scratch.write_bytes(data)
    bars = [(o.name, o.scores["figures"]["mean_accuracy"]["people"]["mean"]) for o in shown.outcomes]
    write_csv(["experiment", "mean_accuracy"], bars, into / "mean_accuracy.csv")
    for outcome in shown.outcomes:
        names, counts = outcome.scores["classes"], np.array(outcome.scores["confusion"])
        pairs = [(names[a], names[p]) for a, p in np.ndindex(counts.shape) for _ in range(counts[a, p])]
        write_csv(["actual", "predicted"], pairs, into / "confusion" / f"{outcome.name}.csv")
        if curve := figures.mean_curve(outcome.curves.shares.get(CHOSEN_CURVE, [])):
            write_csv(["epoch", CHOSEN_CURVE], curve, into / "learning" / f"{outcome.name}.csv")


def _embedded(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _write(path: Path, text: str) -> None:
    with whole(path) as scratch:
        scratch.write_text(text, encoding="utf-8")
