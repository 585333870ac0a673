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
from mien.evaluation.metrics import Floats
from mien.evaluation.outcomes import Outcome
from mien.evaluation.paired import sign_flip
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
        "generated taken for neutral, %", "clean inputs taken for it", "clean true neutrals taken for it",
        "judge right of unseen people, %",
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
            g.mean(lambda m: (m.true_neutral + 1 - m.input_neutral) / 2),
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
        "absolute differences of pixels. Taken for neutral by histograms of oriented gradients and a linear "
        "machine that tells neutral from other faces, fitted on the training people's faces alone, of which "
        "a corpus's clean ones (frontal, not in the wild), as generated faces are meant to be; its line lies "
        "where people that it was not fitted on have neutral faces refused as often as others accepted. What "
        "it says of the test people's clean faces and true neutral ones, and how often it is right of them "
        "(the mean of both kinds), stands beside. Identity: distances between unit "
        "features of the run's own Light-CNN, the one that taught the generator, so that it is a lenient "
        "judge; its own threshold is where it errs equally often on pairs of one person and of two among "
        "the test people's faces, at the rate given."
    )
    return Grid(header, rows, caption)


def _rivals(main: Sequence[Outcome], own: Sequence[Outcome], params: Evaluate) -> Grid:
    rows = []
    for outcome in own:
        figures = outcome.scores["figures"]
        accuracy, mean = (figures[name]["people"]["mean"] for name in ("accuracy", "mean_accuracy"))
        rows.append((outcome.name, percent(accuracy), percent(mean), *_against(main, outcome, params)))
    caption = (
        "Over folds and seeds. The difference to IDFERM is that of accuracies, in points, with its interval "
        "from drawing people anew for both at once: where it leaves out 0 the two differ. p: how probable a "
        "difference as large is if each person's gain could as well have the other sign."
    )
    header = ("experiment", "accuracy, %", "mean accuracy, %", f"less {main[0].name}", "p")
    return Grid(header, rows, caption)


def _against(main: Sequence[Outcome], outcome: Outcome, params: Evaluate) -> tuple[str, str]:
    first = next((m for m in main if m.entry.corpus == outcome.entry.corpus), None)
    if first is None or first is outcome or sorted(first.tallies) != sorted(outcome.tallies):
        return NONE, NONE
    found = intervals.paired(
        first.tallies, outcome.tallies, FIGURES["accuracy"], params.confidence, params.resamples, params.seed
    )
    bounds = (percent(value, signed=True) for value in (found.mean, found.low, found.high))
    gains = right_of_people(outcome.tallies) - right_of_people(first.tallies)
    return "{} ({} to {})".format(*bounds), f"{sign_flip(gains, params.seed, 'two-sided'):.3f}"


def right_of_people(tallies: intervals.Tallies) -> Floats:
    """What each fold's people (P,) add to the accuracy: a mean over folds of the mean over its seeds."""
    shares = []
    for fold in sorted(tallies):
        counts = np.mean(list(tallies[fold].values()), axis=0)  # (people, C, C)
        shares.append(counts.trace(axis1=1, axis2=2) / (counts.sum() * len(tallies)))
    return np.concatenate(shares)


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
        "IDFERM, are not in these times. Folds were trained side by side; "
        "`bench/metric_learning.py` measures the share of a step that distances and hinge have."
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
