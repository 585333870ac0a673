"""IDFERM's part of the report: generated faces, its rivals, what its distances cost, and its settings."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mien.config import Params
from mien.config.report import Evaluate
from mien.evaluation import intervals
from mien.evaluation.figures import PALETTE, distances
from mien.evaluation.identity.costs import costs
from mien.evaluation.identity.generation import Generated, Sheet, read_generated
from mien.evaluation.identity.paper import ERRATA, IDENTITY_ERRORS, TABLES
from mien.evaluation.identity.sequences import accuracy_by_sequence, sequences_of
from mien.evaluation.identity.verification import FACENET
from mien.evaluation.markdown import Grid
from mien.evaluation.outcomes import Outcome
from mien.evaluation.predictions import PREDICTIONS_FILE, TEST, read_predictions
from mien.evaluation.results import FIGURES
from mien.evaluation.rows import NONE, duration, percent
from mien.shards.index import Index

METHOD = "idferm"
IDENTITY_DISTANCES = "identity-distances"
RIVALS = ("triplet", "contrastive", "n_pairs", "coupled_clusters", "nm_tuplet", "center")
SETTINGS = {"metric_weight": "lambda (Figure 11)", "slope": "slope of the leaky ReLU (Figure 12)"}


@dataclass(frozen=True)
class IdentitySection:
    """All that the page and results.md show of IDFERM and its rivals."""

    outcomes: Sequence[Outcome]
    generated: Sequence[Generated]
    generation: Grid | None
    sheet: Sheet | None
    rivals: Grid
    costs: Grid
    sequences: Grid | None
    settings: Sequence[Grid]
    paper: Sequence[Grid]
    errata: Sequence[str]


def make_identity_section(
    outcomes: Sequence[Outcome], runs: Path, indexes: Mapping[str, Index], params: Params
) -> IdentitySection | None:
    """The section of IDFERM and its rivals among these experiments; None unless IDFERM is."""
    own = [o for o in outcomes if o.entry.method in (METHOD, *RIVALS)]
    main = [o for o in own if o.entry.method == METHOD and o.run["settings"]["metric_weight"]]
    if not main:
        return None
    generated, sheet = read_generated(main + [o for o in own if o not in main], runs, indexes, params)
    return IdentitySection(
        outcomes=own,
        generated=generated,
        generation=_generation(generated) if generated else None,
        sheet=sheet,
        rivals=_rivals(main, own, params.evaluate),
        costs=_costs(own, indexes, params),
        sequences=_sequences(own, runs, indexes),
        settings=[grid for name in SETTINGS if (grid := _setting(main, name))],
        paper=TABLES,
        errata=ERRATA,
    )


def draw_identity(section: IdentitySection) -> dict[str, bytes]:
    """Figure 10 as PNG, by picture name: distances between faces and those generated from them."""
    named = {
        g.name: np.concatenate([cell.verification.squared for cell in g.cells])
        for g in section.generated[: len(PALETTE)]
    }
    if not named:
        return {}
    marks = {f"{FACENET:g} (the paper's)": FACENET}
    own = section.generated[0].mean(lambda m: m.verification.threshold)
    if math.isfinite(own):
        marks[f"equal error of {section.generated[0].name}"] = own
    label = "squared distance of unit features, face to generated face"
    return {IDENTITY_DISTANCES: distances(named, marks, label)}


def _generation(generated: Sequence[Generated]) -> Grid:
    header = (
        "experiment", "identity weight", "faces", "input to neutral, % of white", "generated to neutral",
        "generated taken for neutral, %", "input taken for it", "true neutrals taken for it",
        "beyond 1.242 squared, %", "beyond 1.242 plain, %", "beyond own threshold, %", "own equal error, %",
        "paper, beyond 1.242, %",
    )  # fmt: skip
    rows = []
    for g in generated:
        printed = IDENTITY_ERRORS.get(g.identity_weight)
        shares = (
            g.mean(lambda m: m.input_away),
            g.mean(lambda m: m.made_away),
            g.mean(lambda m: m.neutral),
            g.mean(lambda m: m.input_neutral),
            g.mean(lambda m: m.true_neutral),
            g.mean(lambda m: m.verification.beyond_squared),
            g.mean(lambda m: m.verification.beyond_plain),
            g.mean(lambda m: m.verification.beyond_own),
            g.mean(lambda m: m.verification.equal_error),
        )
        told = [percent(None if math.isnan(share) else share) for share in shares]
        count = str(sum(m.faces for m in g.cells))
        rows.append(
            (g.name, f"{g.identity_weight:g}", count, *told, NONE if printed is None else f"{printed:g}")
        )
    caption = (
        "Faces with an expression, of people of the test parts, never seen in training; distances are mean "
        "absolute differences of pixels. Taken for neutral by histograms of oriented gradients and a kernel "
        "machine, fitted on the training people's faces alone; what it says of the faces themselves and of "
        "true neutral ones stands beside what it says of generated ones. Identity: distances between unit "
        "features of the run's own Light-CNN, the one that taught the generator, so that it is a lenient "
        "judge; its own threshold is where it errs equally often on pairs of one person and of two among "
        "these faces, at the rate given."
    )
    return Grid(header, rows, caption)


def _rivals(main: Sequence[Outcome], own: Sequence[Outcome], params: Evaluate) -> Grid:
    rows = []
    for outcome in own:
        figures = outcome.scores["figures"]
        accuracy, mean = (figures[name]["people"]["mean"] for name in ("accuracy", "mean_accuracy"))
        rows.append((outcome.name, percent(accuracy), percent(mean), _against(main, outcome, params)))
    caption = (
        "Over folds and seeds. The difference to IDFERM is that of accuracies, in points, with its interval "
        "from drawing people anew for both at once: where it leaves out 0 the two differ."
    )
    header = ("experiment", "accuracy, %", "mean accuracy, %", f"less {main[0].name}")
    return Grid(header, rows, caption)


def _against(main: Sequence[Outcome], outcome: Outcome, params: Evaluate) -> str:
    first = next((m for m in main if m.entry.corpus == outcome.entry.corpus), None)
    if first is None or first is outcome or sorted(first.tallies) != sorted(outcome.tallies):
        return NONE
    found = intervals.paired(
        first.tallies, outcome.tallies, FIGURES["accuracy"], params.confidence, params.resamples, params.seed
    )
    bounds = (percent(value, signed=True) for value in (found.mean, found.low, found.high))
    return "{} ({} to {})".format(*bounds)


def _costs(own: Sequence[Outcome], indexes: Mapping[str, Index], params: Params) -> Grid:
    header = (
        "experiment", "distances a batch", "faces through the network an update", "seconds an epoch",
        "epochs to 95 % of its best", "time to it", "best validation accuracy, %",
    )  # fmt: skip
    rows = []
    for outcome in own:
        found = costs(outcome, indexes[outcome.entry.corpus], params)
        rows.append(
            (
                outcome.name,
                NONE if found.distances is None else str(found.distances),
                NONE if found.passes is None else str(found.passes),
                f"{found.epoch_s:.1f}",
                f"{found.epochs:.1f}",
                duration(found.reach_s),
                percent(found.best),
            )
        )
    caption = (
        "Of fine-tuning alone, means over folds and seeds: judges and generation, which come before it in "
        "IDFERM, are not in these times. Folds were trained side by side; `bench/metric_learning.py` takes "
        "the times one after another, with the share of a step that distances and hinge have."
    )
    return Grid(header, rows, caption)


def _sequences(own: Sequence[Outcome], runs: Path, indexes: Mapping[str, Index]) -> Grid | None:
    rows = []
    for outcome in own:
        sequence = sequences_of(indexes[outcome.entry.corpus])
        if sequence:
            made = read_predictions(runs / outcome.name / PREDICTIONS_FILE, len(outcome.scores["classes"]))
            found = accuracy_by_sequence(made.of_part(TEST), sequence)
            if found:
                rows.append((outcome.name, percent(found[0]), str(found[1])))
    caption = "The scores of a sequence's frames are averaged, as on MMI in the paper."
    return Grid(("experiment", "accuracy by sequence, %", "sequences"), rows, caption) if rows else None


def _setting(main: Sequence[Outcome], name: str) -> Grid | None:
    """Experiments that differ in one setting and in nothing else."""
    groups: dict[str, list[Outcome]] = {}
    for outcome in main:
        others = {key: value for key, value in outcome.run["settings"].items() if key != name}
        groups.setdefault(f"{outcome.entry.corpus} {sorted(others.items())}", []).append(outcome)
    chosen = max(groups.values(), key=len)
    if len(chosen) < 2:
        return None
    ordered = sorted(chosen, key=lambda o: float(o.run["settings"][name]))
    rows = [
        (f"{o.run['settings'][name]:g}", percent(o.scores["figures"]["accuracy"]["people"]["mean"]), o.name)
        for o in ordered
    ]
    return Grid((SETTINGS[name], "accuracy, %", "experiment"), rows, "")
