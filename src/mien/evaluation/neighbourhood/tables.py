"""The tables of SNA's section: with and without the mask, flipped labels, neighbours, Tables VI to VIII."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from mien.config import Params
from mien.config.report import Evaluate
from mien.evaluation import intervals
from mien.evaluation.markdown import Grid
from mien.evaluation.neighbourhood import paper
from mien.evaluation.neighbourhood.sequences import Failures
from mien.evaluation.outcomes import Outcome
from mien.evaluation.results import FIGURES
from mien.evaluation.rows import NONE, interval, percent
from mien.parts.sna_neighbourhood import ALIKE
from mien.parts.sna_tally import NOISES

BASELINE = "baseline"
RULES = {"divergence": "Div", "chance": "chance, as many", "loss": "highest loss, as many"}


def setting(outcome: Outcome, name: str, of: str = "") -> Any:
    """A setting in force, as run.json has it; `of`: the sub-section it stands in."""
    settings = outcome.run["settings"]
    return (settings[of] if of else settings)[name]


def is_baseline(outcome: Outcome) -> bool:
    """Trained without the mask: the first phase alone."""
    return bool(setting(outcome, "until") == BASELINE)


def baseline_of(outcome: Outcome, among: Sequence[Outcome]) -> Outcome | None:
    """The experiment that differs from this one by the missing mask alone."""
    for other in among:
        same = all(getattr(other.entry, name) == getattr(outcome.entry, name) for name in _ALIKE)
        alike = setting(other, "classification", "") == setting(outcome, "classification", "")
        if same and alike and is_baseline(other) and not is_baseline(outcome):
            return other
    return None


_ALIKE = ("corpus", "folds", "seeds", "folds_by", "label_noise", "validation_share")


def method_words(outcome: Outcome) -> str:
    """`batch threshold`, with what is unusual about it."""
    if is_baseline(outcome):
        return "without"
    rule, near = setting(outcome, "reject_by"), setting(outcome, "neighbours")
    words = f"{setting(outcome, 'threshold')} threshold"
    words += "" if rule == "divergence" else f", rejected by {RULES[rule]}"
    return words + ("" if near == "latent" else ", pixel noise")


def closing_ratio(value: float, reference: float, limit: float) -> float:
    """Which share of the way from a reference to a limit is gone; NaN where there is no way."""
    return (value - reference) / (limit - reference) if limit != reference else math.nan


def paired_t(first: Sequence[float], second: Sequence[float]) -> float:
    """Two-sided p of Student's paired t-test; NaN for fewer than two pairs or no difference at all."""
    apart = np.asarray(second) - np.asarray(first)
    if len(apart) < 2 or not apart.std():
        return math.nan
    return float(stats.ttest_rel(second, first).pvalue)


def _mean_accuracy(outcome: Outcome) -> float:
    return float(outcome.scores["figures"]["mean_accuracy"]["people"]["mean"])


def _cell_accuracies(outcome: Outcome) -> list[float]:
    cells = sorted(outcome.scores["cells"], key=lambda cell: (cell["fold"], cell["seed"]))
    return [float(cell["mean_accuracy"]) for cell in cells]


def against(pairs: Sequence[tuple[Outcome, Outcome]], params: Params) -> Grid:
    """SNA and each of its arms against the classifier without a mask, on the same people and seeds."""
    body = []
    for outcome, base in pairs:
        apart = _difference(base, outcome, params.evaluate)
        p = paired_t(_cell_accuracies(base), _cell_accuracies(outcome))
        kind = params.corpora[outcome.entry.corpus].kind
        limit = paper.ANNOTATORS / 100 if kind == "affectnet" else 1.0
        closed = closing_ratio(_mean_accuracy(outcome), _mean_accuracy(base), limit)
        place, printed = paper.OURS.get(kind, (NONE, math.nan))
        body.append(
            [
                outcome.name,
                outcome.entry.corpus,
                method_words(outcome),
                percent(_mean_accuracy(base)),
                percent(_mean_accuracy(outcome)),
                interval({"mean": apart.mean, "low": apart.low, "high": apart.high}, signed=True),
                NONE if math.isnan(p) else f"{p:.2f}",
                percent(closed),
                NONE if math.isnan(printed) else f"{printed:g} ({place})",
            ]
        )
    header = (
        "experiment",
        "corpus",
        "mask",
        "without, %",
        "with, %",
        "difference, points",
        "p",
        "closed, %",
        "paper, %",
    )
    caption = (
        f"Mean accuracy. Difference: {params.evaluate.confidence * 100:g} % interval from resampling the "
        "same people on both sides; p: paired t-test over folds and seeds. Closed: the share of the way to "
        f"the limit that the mask goes: the annotators' agreement of {paper.ANNOTATORS} % on AffectNet, "
        "100 % elsewhere. In the paper: 20 % for the constant and 35 % for the batch threshold."
    )
    return Grid(header, body, caption)


def _difference(base: Outcome, outcome: Outcome, how: Evaluate) -> intervals.Interval:
    sides = (base.tallies, outcome.tallies)
    return intervals.paired(*sides, FIGURES["mean_accuracy"], how.confidence, how.resamples, how.seed)


def recalls(outcome: Outcome, base: Outcome) -> Grid:
    """Fig. 7 as a table: the diagonals of both confusion matrices."""
    body = []
    for name, values in outcome.scores["per_class"].items():
        one, other = base.scores["per_class"][name]["recall"], values["recall"]
        apart = percent(other - one, signed=True) if None not in (one, other) else NONE
        printed = paper.RECALLS.get(name)
        body.append([name, percent(one), percent(other), apart, NONE if printed is None else f"{printed:g}"])
    header = (outcome.name, "recall without, %", "with, %", "difference, points", "paper with (AffectNet), %")
    return Grid(header, body, f"Beside {base.name}; both matrices stand under Confusions.")


def _cells(outcome: Outcome) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    return [(cell, cell.get("record") or {}) for cell in outcome.run["cells"]]


def flips(outcomes: Sequence[Outcome]) -> Grid | None:
    """Whether the rejected are richer in flipped labels than chance, a row a cell."""
    body = [
        [
            outcome.name,
            method_words(outcome),
            f"{cell['fold']}, {cell['seed']}",
            percent(record["flips_auc"]),
            percent(_last(outcome, cell, "flips_auc")),
            percent(record["flips_keep_rate"]),
            percent(_last(outcome, cell, "keep_rate")),
        ]
        for outcome in outcomes
        for cell, record in _cells(outcome)
        if "flips_auc" in record
    ]
    header = (
        "experiment",
        "mask",
        "fold, seed",
        "AUC of Div, %",
        "in the last epoch, %",
        "flipped kept, %",
        "all kept, last epoch, %",
    )
    caption = (
        "AUC: of pairs of a flipped and an honest training face of one batch, the share in which Div is "
        "larger for the flipped one, over all epochs of the final phase; 50 is chance. Kept: of the "
        "flipped faces over the same epochs."
    )
    return Grid(header, body, caption) if body else None


def _last(outcome: Outcome, cell: Mapping[str, Any], name: str, phase: str = "final") -> float | None:
    """A figure of the last epoch of a phase of a cell."""
    at = [
        (point["epoch"], point["value"])
        for point in outcome.points
        if (point["fold"], point["seed"], point["name"], point["phase"])
        == (cell["fold"], cell["seed"], name, phase)
    ]
    return max(at)[1] if at else None


def neighbours(outcomes: Sequence[Outcome]) -> Grid | None:
    """What the auto-encoder is worth on held-out training faces, means over cells."""
    names = {
        "psnr_unrefined": ("refinement", "PSNR of the auto-encoder, dB", 1.0),
        "psnr": ("refinement", "refined, dB", 1.0),
        "sharpness_of_originals": ("refinement", "slope energy of faces, 1e-3", 1000.0),
        "sharpness_unrefined": ("refinement", "auto-encoder, 1e-3", 1000.0),
        "sharpness": ("refinement", "refined, 1e-3", 1000.0),
        "divergence_without_noise": ("final", "Div without noise, 1e-3", 1000.0),
        "divergence": ("final", "with noise, 1e-3", 1000.0),
        "neighbours_named_alike": ("final", "neighbours named like the face, %", 100.0),
    }
    body = []
    for outcome in outcomes:
        drawn = sorted({record["noise"] for _, record in _cells(outcome) if "noise" in record})
        row = [outcome.name, ", ".join(f"{noise:g}" for noise in drawn) or NONE]
        for name, (phase, _, scale) in names.items():
            first = name == "neighbours_named_alike"  # told in the first epoch only
            values = [_last(outcome, cell, f"validation_{name}", phase) for cell, _ in _cells(outcome)]
            known = [value * scale for value in values if value is not None]
            row.append(f"{sum(known) / len(known):.{1 if first or scale == 1 else 2}f}" if known else NONE)
        if set(row[2:]) != {NONE}:
            body.append(row)
    header = ("experiment", "noise", *(words for _, words, _ in names.values()))
    caption = (
        "On validation faces, of people that no phase has learnt from. Noise: as a share of each dimension's "
        f"spread; unless the settings name one, of {', '.join(f'{noise:g}' for noise in NOISES)} the largest "
        f"at which the frozen baseline names {ALIKE * 100:g} % of them like the face, else the smallest. "
        "Named like the face: wanted 90 %. Slope energy: mean squared difference of neighbouring pixels, for "
        "sharpness."
    )
    return Grid(header, body, caption) if body else None


def batches(outcomes: Sequence[Outcome]) -> Grid | None:
    """Table VI with what was run beside it."""
    found: dict[tuple[int, str], Outcome] = {}
    for outcome in outcomes:
        if not is_baseline(outcome) and setting(outcome, "reject_by") == "divergence":
            of_class = setting(outcome, "faces_per_class", "classification")
            size = of_class * len(outcome.scores["classes"])
            found.setdefault((size, setting(outcome, "threshold")), outcome)
    if not found:
        return None
    body = []
    for size in sorted({size for size, _ in found} | set(paper.BATCHES), reverse=True):
        here = [found.get((size, rule)) for rule in ("batch", "constant")]
        printed = [f"{value:g}" for value in paper.BATCHES.get(size, ())] or [NONE, NONE]
        body.append([str(size), *(percent(_mean_accuracy(o)) if o else NONE for o in here), *printed])
    header = ("batch", "batch threshold, %", "constant, %", "paper, batch threshold, %", "paper, constant, %")
    return Grid(header, body, "Table VI. Mean accuracy; the rate falls with the batch as in the paper.")


_BALANCING = {"batch": "batch balancing", "none": "no balancing", "weighted": "weighted loss"}
_LOSS = {"focal": "focal", "cross_entropy": "cross-entropy"}


def losses(outcomes: Sequence[Outcome]) -> Grid | None:
    """Table VIII with what was run beside it, and the arms that the paper lacks below it."""
    found: dict[tuple[str, str, str], Outcome] = {}
    for outcome in outcomes:
        loss, balancing = (setting(outcome, name, "classification") for name in ("loss", "balancing"))
        found.setdefault((_LOSS[loss], _BALANCING[balancing], method_words(outcome)), outcome)
    if len(found) < 2:
        return None
    printed = {row[:3]: row[3] for row in paper.ROWS_OF_TABLE_VIII}
    body = []
    for key in [*printed, *(key for key in found if key not in printed)]:
        here = percent(_mean_accuracy(found[key])) if key in found else NONE
        body.append(
            [
                *key,
                found[key].name if key in found else NONE,
                here,
                f"{printed[key]:g}" if key in printed else NONE,
            ]
        )
    header = ("loss", "balancing", "mask", "experiment", "mean accuracy, %", "paper (AffectNet), %")
    return Grid(header, body, "Table VIII, and below it what the paper lacks.")


def sequences(outcomes: Sequence[Outcome], failed: Mapping[str, Failures], params: Params) -> Grid:
    """Table VII."""
    body = []
    for outcome in (o for o in outcomes if o.name in failed):
        of = failed[outcome.name]
        kind = params.corpora[outcome.entry.corpus].kind
        printed = paper.FAILURES.get(kind, {}).get("without" if is_baseline(outcome) else "with")
        words = [f"{value:g}" for value in printed] if printed else [NONE, NONE]
        shares = [percent(float(share.mean())) for share in (of.failing, of.consistent)]
        body.append(
            [
                outcome.name,
                outcome.entry.corpus,
                method_words(outcome),
                *shares,
                f"{of.tested}",
                f"{len(of.failing)}",
                *words,
            ]
        )
    header = (
        "experiment",
        "corpus",
        "mask",
        "FC, %",
        "CFC, %",
        "sequences",
        "runs",
        "paper FC, %",
        "paper CFC, %",
    )
    caption = (
        "Table VII. Trained on the last frame of each sequence, tested on the four before it. FC: some of "
        "the four is named wrongly; CFC: all four are, and alike. Means over runs."
    )
    return Grid(header, body, caption)
