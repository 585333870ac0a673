"""SNA's part of the report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mien import methods
from mien.config import Params
from mien.evaluation.facts import hidden_because
from mien.evaluation.markdown import Grid
from mien.evaluation.neighbourhood import paper, tables
from mien.evaluation.neighbourhood.pictures import (
    COLUMNS,
    NeighbourSheet,
    Strip,
    neighbour_sheet,
    one_of_each,
    strips,
)
from mien.evaluation.neighbourhood.sequences import failures
from mien.evaluation.outcomes import CELLS, Outcome
from mien.evaluation.predictions import PREDICTIONS_FILE, TEST, Predictions, read_predictions
from mien.methods.sna import SNA
from mien.shards.folds import split_fold
from mien.shards.index import Index

METHOD, FRAME = "sna", "frame"


@dataclass(frozen=True)
class NeighbourhoodSection:
    """All that the page and results.md show of SNA."""

    outcomes: Sequence[Outcome]
    against: Grid | None
    recalls: Sequence[Grid]
    flips: Grid | None
    neighbours: Grid | None
    batches: Grid | None
    losses: Grid | None
    sequences: Grid | None
    sheet: NeighbourSheet | None
    columns: Sequence[str]
    strips: Sequence[Strip]
    hidden: str | None
    paper: Sequence[Grid]
    errata: Sequence[str]

    @property
    def titled(self) -> list[tuple[str, Grid]]:
        """Its tables, those that there are, each with its heading."""
        every = (
            ("With and without the mask (Tables III to V)", self.against),
            *((f"By class (Figure 7): {grid.header[0]}", grid) for grid in self.recalls),
            ("Flipped labels among the rejected", self.flips),
            ("Loss, balancing, mask (Table VIII)", self.losses),
            ("Batch size (Table VI)", self.batches),
            ("Failing sequences (Table VII)", self.sequences),
            ("What the auto-encoder makes of faces", self.neighbours),
        )
        return [(title, grid) for title, grid in every if grid]


def make_neighbourhood_section(
    outcomes: Sequence[Outcome], runs: Path, indexes: Mapping[str, Index], params: Params
) -> NeighbourhoodSection | None:
    """The section of SNA's experiments; None without any."""
    own = [outcome for outcome in outcomes if outcome.entry.method == METHOD]
    if not own:
        return None
    by_fold = [outcome for outcome in own if outcome.entry.folds_by != FRAME]
    pairs = [(o, base) for o in by_fold if (base := tables.baseline_of(o, by_fold))]
    failed = {
        o.name: failures(_tested(o, runs), indexes[o.entry.corpus]) for o in own if o.entry.folds_by == FRAME
    }
    hidden = {
        o.entry.corpus: hidden_because(params.corpora[o.entry.corpus], params.report.show_photographs)
        for o in own
    }
    return NeighbourhoodSection(
        outcomes=own,
        against=tables.against(pairs, params) if pairs else None,
        recalls=[
            tables.recalls(*pair) for pair in pairs if tables.setting(pair[0], "reject_by") == "divergence"
        ],
        flips=tables.flips(by_fold),
        neighbours=tables.neighbours(own),
        batches=tables.batches(by_fold),
        losses=tables.losses(by_fold),
        sequences=tables.sequences(own, failed, params) if failed else None,
        sheet=_sheet(own, runs, indexes, params, hidden),
        columns=COLUMNS,
        strips=[
            strip
            for o in own
            if o.name in failed and not hidden[o.entry.corpus]
            for strip in strips(failed[o.name].cases, indexes[o.entry.corpus])
        ],
        hidden=next((why for why in hidden.values() if why), None),
        paper=paper.TABLES,
        errata=paper.ERRATA,
    )


def _tested(outcome: Outcome, runs: Path) -> Predictions:
    classes = len(outcome.scores["classes"])
    return read_predictions(runs / outcome.name / PREDICTIONS_FILE, classes).of_part(TEST)


def _sheet(
    outcomes: Sequence[Outcome],
    runs: Path,
    indexes: Mapping[str, Index],
    params: Params,
    hidden: Mapping[str, str | None],
) -> NeighbourSheet | None:
    """Faces of the test part of the first model that has an auto-encoder, on a corpus that may be shown."""
    for outcome in outcomes:
        corpus, entry = outcome.entry.corpus, outcome.entry
        folders = sorted((runs / outcome.name / CELLS).glob(f"*/{methods.WEIGHTS}"))
        if hidden[corpus] or not folders or entry.folds_by != "subject":
            continue
        method = methods.load(folders[0].parent)[0]
        if isinstance(method, SNA) and "neighbourhood" in method.aids:
            cell = folders[0].parent.name
            fold = int(outcome.run["cells"][0]["fold"])
            test = split_fold(indexes[corpus], fold, entry.validation_share, params.shard.seed).test
            about = f"{outcome.name}, {cell}: test faces as the networks see them."
            return neighbour_sheet(method, indexes[corpus], one_of_each(indexes[corpus], test), about)
    return None
