"""Which orderings of HS-OCFER's paper appear in a trial and which do not, in plainly computed sentences."""

import math
from collections.abc import Mapping, Sequence

from mien.evaluation.one_class import paper
from mien.evaluation.one_class.averages import Table
from mien.evaluation.one_class.outcomes import OneClassOutcome, Values, difference
from mien.evaluation.rows import percent

SUSPICIOUS = 0.40
"""A mean AUC below this is a sign error until proven otherwise."""
STEPS = (("111", "000"), ("001", "000"), ("101", "001"), ("111", "101"), ("111", "110"))
"""Rows of Table 4 of which the paper has the first above the second on both of its corpora."""
SWITCHES = ("hierarchy", "spatial", "compact")
NOTHING_TO_COMPARE = "HS-OCFER itself was not run here, so none of the paper's orderings can be looked for."

Printed = Mapping[str, tuple[float, float]]
"""Corpus of the paper -> its figures for the two sides."""


def orderings(outcomes: Sequence[OneClassOutcome], trial: str) -> list[str]:
    """A sentence for each ordering of the paper of which both sides were run in this trial.

    outcomes: those of one corpus. Differences are over the cells that both sides have: equal test faces,
    folds, seeds and normal classes.
    """
    here = [outcome for outcome in outcomes if trial in outcome.trials]
    rows = ablations(here)
    if "111" not in rows:
        return [NOTHING_TO_COMPARE]
    ours = rows["111"]
    rivals = [outcome for outcome in here if outcome.entry.method != paper.OURS]
    found = _against_rivals(ours.values(trial), rivals, trial)
    for upper, lower in STEPS:
        if upper in rows and lower in rows:
            sides = (rows[upper].values(trial), rows[lower].values(trial))
            printed = _pairs(paper.ABLATIONS[upper], paper.ABLATIONS[lower])
            found.append(_sentence(row_name(upper), row_name(lower), *sides, printed))
    rules = [rule for rule in ("reconstruction", "compactness") if rule in ours.scores["scores"]]
    for rule in rules if "fusion" in ours.scores["scores"] else ():
        sides = (ours.values(trial, "fusion"), ours.values(trial, rule))
        printed = _pairs(paper.RULES["fusion"], paper.RULES[rule])
        found.append(_sentence("The fused score of HS-OCFER", f"its {rule} score alone", *sides, printed))
    return found


def ablations(outcomes: Sequence[OneClassOutcome]) -> dict[str, OneClassOutcome]:
    """The rows of Table 4 that were run, the first experiment of each."""
    found: dict[str, OneClassOutcome] = {}
    for outcome in outcomes:
        if outcome.ablation:
            found.setdefault(outcome.ablation, outcome)
    return found


def row_name(row: str) -> str:
    """A row of Table 4 in words."""
    on = [name for name, digit in zip(SWITCHES, row, strict=True) if digit == "1"]
    if len(on) == len(SWITCHES):
        return "HS-OCFER"
    return f"row {row} of Table 4 ({' and '.join(on)} only)" if on else "the plain auto-encoder (row 000)"


def suspicious(outcomes: Sequence[OneClassOutcome], trial: str) -> list[str]:
    """A sentence for each experiment whose mean AUC is so low that its sign must be doubted."""
    means = [(o.name, o.table(trial).mean.mean) for o in outcomes if trial in o.trials]
    return [
        f"{name}: a mean AUC of {percent(mean)} % is below {SUSPICIOUS * 100:.0f} %, which is a sign error "
        "until proven otherwise."
        for name, mean in means
        if mean < SUSPICIOUS
    ]


def _against_rivals(own: Values, rivals: Sequence[OneClassOutcome], trial: str) -> list[str]:
    """HS-OCFER against Deep SVDD, and against the rival that comes nearest or is furthest above."""
    gains = [(difference(own, rival.values(trial)).mean.mean, rival) for rival in rivals]
    gains = [pair for pair in gains if not math.isnan(pair[0])]
    found = []
    for rival in [r for _, r in gains if r.entry.method == "deep_svdd"][:1]:
        found.append(
            _sentence("HS-OCFER", "Deep SVDD", own, rival.values(trial), _printed_for(["deep_svdd"]))
        )
    if gains:
        best = min(gains, key=lambda pair: pair[0])[1]
        words = f"the best of {len(gains)} rivals here, {best.method}"
        printed = _printed_for([method for method in paper.METHODS if method != paper.OURS])
        found.append(_sentence("HS-OCFER", words, own, best.values(trial), printed))
    return found


def _printed_for(methods: Sequence[str]) -> Printed:
    """HS-OCFER and the best of some methods, on each corpus of the paper."""
    return {
        corpus: (paper.mean(corpus, paper.OURS), max(paper.mean(corpus, method) for method in methods))
        for corpus in paper.CORPORA
    }


def _pairs(first: Sequence[str], second: Sequence[str]) -> Printed:
    both = zip(paper.CORPORA, first, second, strict=True)
    return {corpus: (paper.number(a), paper.number(b)) for corpus, a, b in both}


def _sentence(upper: str, lower: str, first: Values, second: Values, printed: Printed) -> str:
    """Whether `upper` stands above `lower`, with the numbers."""
    apart = difference(first, second)
    common = [
        key for key in first if not math.isnan(first[key]) and not math.isnan(second.get(key, math.nan))
    ]
    if not common:
        return f"{upper} above {lower}: cannot be looked for, no cell has a figure of both."
    means = [_mean({key: side[key] for key in common}) for side in (first, second)]
    numbers = (
        f"{percent(means[0])} against {percent(means[1])}, {percent(apart.mean.mean, signed=True)} points"
    )
    told = "; ".join(f"{a:.2f} against {b:.2f} on {corpus}" for corpus, (a, b) in printed.items())
    start = f"{upper[0].upper()}{upper[1:]} above {lower}: {_verdict(apart)}."
    return f"{start} {numbers} over {len(common)} cells{_spread(apart)}. The paper: {told}."


def _mean(values: Values) -> float:
    """Over classes, each the mean of its cells."""
    classes = dict.fromkeys(key[2] for key in values)
    of_class = [[value for key, value in values.items() if key[2] == name] for name in classes]
    return math.fsum(math.fsum(own) / len(own) for own in of_class) / len(of_class)


def _verdict(apart: Table) -> str:
    above = [value > 0 for value in apart.by_seed.values()]
    if apart.mean.mean <= 0:
        return "does not appear"
    small = apart.mean.mean < apart.mean.std_folds  # false for a NaN
    weak = ", but by less than the difference varies between folds" if small else ""
    if len(above) > 1:
        return f"appears, in {sum(above)} of {len(above)} seeds{weak}"
    return f"appears{weak}"


def _spread(apart: Table) -> str:
    parts = []
    if not math.isnan(apart.mean.std_folds):
        parts.append(f"standard deviation over folds {percent(apart.mean.std_folds)}")
    if len(apart.by_seed) > 1:
        parts.append("by seed " + ", ".join(percent(value, signed=True) for value in apart.by_seed.values()))
    return f" ({'; '.join(parts)})" if parts else ""
