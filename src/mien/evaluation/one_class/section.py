"""The one-class part of the report: tables laid out as HS-OCFER's, and what must be said of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mien.evaluation import figures
from mien.evaluation.figures import RatioCurve
from mien.evaluation.markdown import Grid
from mien.evaluation.one_class import paper
from mien.evaluation.one_class.averages import Average
from mien.evaluation.one_class.orderings import ablations, orderings, suspicious
from mien.evaluation.one_class.outcomes import OneClassOutcome, in_order
from mien.evaluation.one_class.results import FULL
from mien.evaluation.rows import NONE, duration, percent, protocol, words
from mien.shards.index import Index

EMPTY_CELLS_SHOWN = 12
FLAT = (
    "AUC compares one normal with one alien face and does not depend on how many there are of either, so "
    "each curve must be flat in expectation: a slope is chance or a fault in the drawing, and flatness is no "
    "robustness. Only the band may grow where few faces are drawn."
)
SHARED_PEOPLE = (
    "Folds by PICTURE, as HS-OCFER's paper made them: pictures of one person stand in training and in test, "
    "so that these figures say nothing about people never seen."
)
READING = (
    "AUC in percent, mean±standard deviation over folds; each figure is the mean of the AUCs of the normal "
    "class against each other class, and 50 is chance. Pooled: the aliens of the test part taken together. "
    "Over seeds: the standard deviation of the mean when the whole cross-validation is run again with "
    "another seed. Cells are trainings, one a fold, seed and normal class; an empty one enters no mean."
)


@dataclass(frozen=True)
class TrialSection:
    """One trial on one corpus."""

    corpus: str
    trial: str
    title: str
    loud: str | None  # when people stand in several parts
    about: str
    table: Grid
    picture: str  # name of its ratio study's figure
    orderings: Sequence[str]
    suspicious: Sequence[str]
    empty: Sequence[str]


@dataclass(frozen=True)
class OneClassSection:
    """All that the page and results.md show of one-class experiments, but heat maps."""

    outcomes: Sequence[OneClassOutcome]
    trials: Sequence[TrialSection]
    experiments: Grid
    paper_tables: Sequence[Grid]
    ablations: Grid | None
    rules: Grid | None
    ratio: str


def make_section(outcomes: Sequence[OneClassOutcome], indexes: Mapping[str, Index]) -> OneClassSection | None:
    """The section of these experiments; None without any."""
    if not outcomes:
        return None
    trials = [_trial(own, trial, indexes[corpus]) for corpus, trial, own in trials_of(outcomes)]
    draws = outcomes[0].scores["draws"]
    band = f"{outcomes[0].scores['confidence'] * 100:g} %"
    return OneClassSection(
        outcomes=outcomes,
        trials=trials,
        experiments=_experiments(outcomes),
        paper_tables=[_paper_table(number, corpus) for number, corpus in enumerate(paper.CORPORA, 2)],
        ablations=_ablations(outcomes),
        rules=_rules(outcomes),
        ratio=f"No model is trained again: test faces are drawn {draws} times without replacement for each "
        f"ratio of normal faces to those of each alien class. Line: mean over drawings; band: the middle "
        f"{band} of them. {FLAT}",
    )


def trials_of(outcomes: Sequence[OneClassOutcome]) -> list[tuple[str, str, list[OneClassOutcome]]]:
    """Corpus, trial, and the experiments that ran it."""
    found: dict[tuple[str, str], list[OneClassOutcome]] = {}
    for outcome in outcomes:
        for trial in outcome.trials:
            found.setdefault((outcome.entry.corpus, trial), []).append(outcome)
    return [(corpus, trial, own) for (corpus, trial), own in found.items()]


def draw_ratio(outcomes: Sequence[OneClassOutcome], trial: str) -> bytes:
    """Fig. 3 of one trial: every method's mean AUC by the ratio of normal to alien faces."""
    found = []
    for outcome in compared(outcomes):
        study = outcome.trials[trial]["ratio"]
        bold = outcome.entry.method == paper.OURS
        mean, low, high = (_numbers(study["mean"][key]) for key in ("mean", "low", "high"))
        found.append(RatioCurve(label(outcome, outcomes), mean, low, high, bold))
    ratios = outcomes[0].trials[trial]["ratio"]["ratios"]
    return figures.ratios(found, ratios, f"{outcomes[0].entry.corpus}, {trial}")


def _numbers(values: Sequence[float | None]) -> list[float]:
    return [math.nan if value is None else value for value in values]


def picture_name(corpus: str, trial: str) -> str:
    """What the figure of a trial's ratio study is called."""
    return f"ratio-{corpus}-{trial}"


def compared(outcomes: Sequence[OneClassOutcome]) -> list[OneClassOutcome]:
    """The rows of Tables 2 and 3: without the ablations of HS-OCFER, which have a table, unless alone."""
    return [outcome for outcome in outcomes if outcome.ablation in (None, "111")] or list(outcomes)


def label(outcome: OneClassOutcome, among: Sequence[OneClassOutcome]) -> str:
    """The method's name, with the experiment's where several ran that method."""
    alike = [other for other in compared(among) if other.method == outcome.method]
    return f"{outcome.method} ({outcome.name})" if len(alike) > 1 else outcome.method


def cell_text(average: Average) -> str:
    """`71.4±2.1`, in percent."""
    spread = percent(average.std_folds)
    return percent(average.mean) if spread == NONE else f"{percent(average.mean)}±{spread}"


def _trial(outcomes: Sequence[OneClassOutcome], trial: str, index: Index) -> TrialSection:
    first = outcomes[0]
    about, corpus = first.trials[trial], first.entry.corpus
    by_picture = about["folds_by"] == "picture"
    told, shared = protocol(index)
    faces = about["condition"] or "all"
    unit = first.scores["unit"]
    folds = f"{index.about.picture_folds} folds by picture." if by_picture else told
    return TrialSection(
        corpus=corpus,
        trial=trial,
        title=f"{corpus}, {faces} pictures, folds by {'picture' if by_picture else 'person'}",
        loud=SHARED_PEOPLE if by_picture else told if shared else None,
        about=f"{folds} {about['faces']} faces of {about['people']} {unit} tested.",
        table=_table(outcomes, trial),
        picture=picture_name(corpus, trial),
        orderings=orderings(outcomes, trial),
        suspicious=suspicious(outcomes, trial),
        empty=_empty(outcomes, trial),
    )


def _table(outcomes: Sequence[OneClassOutcome], trial: str) -> Grid:
    """Tables 2 and 3: methods by classes."""
    rows = compared(outcomes)
    tables = [outcome.table(trial) for outcome in rows]
    classes = in_order(list(dict.fromkeys(name for table in tables for name in table.classes)))
    body = []
    for outcome, table in zip(rows, tables, strict=True):
        cells = [cell_text(table.classes[name]) if name in table.classes else NONE for name in classes]
        pooled = outcome.table(trial, figure=FULL).mean.mean
        mean = table.mean
        count = f"{mean.cells} of {mean.of}"
        ends = (cell_text(mean), percent(mean.std_seeds), percent(pooled), count)
        body.append([label(outcome, outcomes), *cells, *ends])
    header = ("normal class:", *classes, "mean", "std over seeds", "pooled", "cells")
    return Grid(header, body, READING)


def _paper_table(number: int, corpus: str) -> Grid:
    rows = [[paper.METHODS[name], *cells] for name, cells in paper.TABLES[corpus].items()]
    caption = f"Table {number} as the paper prints it: its own corpus {corpus}, 5 folds by picture."
    return Grid((f"{corpus} (paper)", *paper.CLASSES, "mean"), rows, caption)


def _ablations(outcomes: Sequence[OneClassOutcome]) -> Grid | None:
    """Table 4 with a column a trial; None when no row but the full one was run."""
    places = [(f"{corpus}, {trial}", trial, ablations(own)) for corpus, trial, own in trials_of(outcomes)]
    places = [place for place in places if set(place[2]) - {"111"}]
    if not places:
        return None
    body = []
    for row, printed in paper.ABLATIONS.items():
        here = [cell_text(rows[row].table(trial).mean) if row in rows else NONE for _, trial, rows in places]
        body.append([" ".join("✓" if digit == "1" else "–" for digit in row), *here, *printed])
    header = ("hierarchy, spatial, compact", *(name for name, _, _ in places), *_printed())
    caption = (
        "Mean AUC with its standard deviation over folds. Rows without the compact space are scored by their "
        "reconstruction error, because nothing has trained their distance."
    )
    return Grid(header, body, caption)


def _rules(outcomes: Sequence[OneClassOutcome]) -> Grid | None:
    """Table 5 with a column a trial: three scores of one trained HS-OCFER."""
    places = [
        (f"{corpus}, {trial}", trial, ablations(own).get("111")) for corpus, trial, own in trials_of(outcomes)
    ]
    ready = [(name, trial, ours) for name, trial, ours in places if ours is not None]
    if not ready:
        return None
    body = []
    for rule, printed in paper.RULES.items():
        here = [cell_text(o.table(t, rule).mean) if rule in o.scores["scores"] else NONE for _, t, o in ready]
        body.append([rule, *here, *printed])
    header = ("inference rule", *(name for name, _, _ in ready), *_printed())
    return Grid(header, body, "Mean AUC with its standard deviation over folds; the models are the same.")


def _printed() -> list[str]:
    return [f"paper, {corpus}" for corpus in paper.CORPORA]


def _experiments(outcomes: Sequence[OneClassOutcome]) -> Grid:
    body = [
        [
            outcome.name,
            outcome.method,
            words(outcome.entry.settings) if outcome.entry.settings else NONE,
            outcome.headline.replace("_", " "),
            NONE if outcome.parameters is None else f"{outcome.parameters:,}",
            str(len(outcome.run["cells"])),
            duration(outcome.run.get("seconds")),
        ]
        for outcome in outcomes
    ]
    header = ("experiment", "method", "settings of its own", "score", "parameters", "trainings", "time")
    return Grid(header, body, "Time is that of all trainings, added up.")


def _empty(outcomes: Sequence[OneClassOutcome], trial: str) -> list[str]:
    """Each cell without an AUC under the headline score, with the reason; the first of many."""
    found = [
        f"{outcome.name}, {cell['normal']}, fold {cell['fold']}, seed {cell['seed']}: "
        f"{cell['empty'][outcome.headline]}"
        for outcome in outcomes
        for cell in outcome.scores["cells"]
        if cell["trial"] == trial and outcome.headline in cell["empty"]
    ]
    more = [f"and {len(found) - EMPTY_CELLS_SHOWN} more"] if len(found) > EMPTY_CELLS_SHOWN else []
    return found[:EMPTY_CELLS_SHOWN] + more
