"""Facts as the words that the page and the Markdown table print."""

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from mien.evaluation.figures import ink_on
from mien.evaluation.outcomes import Difference, Outcome
from mien.methods.contract import UPPER_BOUND
from mien.shards.index import Index

NONE = "–"
PAPER_FIGURES = {"mean_accuracy": "mean", "accuracy": "overall"}
"""How `experiments.NAME.paper` names its shares of 1, each followed by _CORPUS, and the word for each."""

HEADER = (
    "experiment",
    "corpus",
    "paper's figure",
    "overall accuracy, %",
    "mean accuracy, %",
    "macro-F1, %",
    "parameters",
    "time",
    "seeds",
    "folds",
)


@dataclass(frozen=True)
class ResultRow:
    """A row of the results table, in words; `cells` stand under HEADER."""

    cells: Sequence[str]
    method: str
    chance: bool = False


def result_rows(outcomes: Sequence[Outcome]) -> list[ResultRow]:
    """The experiments by corpus, each corpus led by a row of what chance gives."""
    rows: list[ResultRow] = []
    for corpus in dict.fromkeys(outcome.entry.corpus for outcome in outcomes):
        of_corpus = [outcome for outcome in outcomes if outcome.entry.corpus == corpus]
        rows.append(_chance_row(corpus, of_corpus[0]))
        rows += [_result_row(outcome) for outcome in of_corpus]
    return rows


def chance(outcome: Outcome) -> tuple[float, float]:
    """Overall accuracy of always naming the most frequent class, and mean accuracy of any such answer."""
    samples = [values["samples"] for values in outcome.scores["per_class"].values()]
    return max(samples) / sum(samples), 1 / sum(number > 0 for number in samples)


def interval(bounds: Mapping[str, float | None], signed: bool = False) -> str:
    """`71.3 (65.0 to 77.1)`, in percent; without bounds where there are none."""
    mean = percent(bounds["mean"], signed)
    if bounds["low"] is None or math.isnan(bounds["low"]):
        return mean
    return f"{mean} ({percent(bounds['low'], signed)} to {percent(bounds['high'], signed)})"


def percent(share: float | None, signed: bool = False) -> str:
    """A share of 1 as percent with one decimal."""
    if share is None or math.isnan(share):
        return NONE
    return f"{share * 100:+.1f}".replace("-", "\N{MINUS SIGN}") if signed else f"{share * 100:.1f}"


def duration(seconds: float | None) -> str:
    """`48 s`, `12 min`, `3 h 05 min`."""
    if seconds is None:
        return NONE
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


def difference_row(difference: Difference) -> tuple[str, str, str, str]:
    """Experiment, baseline, difference with its interval in percentage points, and what to make of it."""
    bounds = {name: getattr(difference.interval, name) for name in ("mean", "low", "high")}
    if math.isnan(difference.interval.low):
        verdict = "too few people to say"
    elif difference.clear:
        verdict = "higher" if difference.interval.mean > 0 else "lower"
    else:
        verdict = "not told apart"
    return difference.name, difference.baseline, interval(bounds, signed=True), verdict


def protocol(index: Index, folds_by: str = "subject") -> tuple[str, bool]:
    """How an experiment on a corpus told parts apart, in words, and whether people may stand in several."""
    about = index.about
    if folds_by == "official":
        return (
            "The official parts, as the corpus's owner drew them: whether a person or a look-alike picture "
            "stands in several was not looked into.",
            True,
        )
    if folds_by == "frame":
        return (
            "Trained on the last frame of each sequence and tested on the four before it: people stand in "
            "both parts, and so does nearly the same picture.",
            True,
        )
    if folds_by == "picture":
        return (
            f"{about.picture_folds} folds by PICTURE, as in the paper: pictures of one person stand in "
            "several parts, so the figures are higher than they would be on people never seen.",
            True,
        )
    if index.shares_people:
        return (
            f"{about.folds} folds by PICTURE (shard.by: picture): pictures of one person stand in several "
            "parts, so the figures are higher than they would be on people never seen.",
            True,
        )
    if not about.subjects_known:
        return (
            f"{about.folds} folds. The corpus does not say who is in a picture: look-alike pictures are kept "
            "in one part, but the same person may still stand in several.",
            True,
        )
    return (
        f"{about.folds} folds by person: people are never shared between training, validation and test.",
        False,
    )


def shade(share: float | None) -> str:
    """Colours of a heat-table cell as CSS: white to blue, with ink that can be read on it."""
    if share is None or math.isnan(share):
        return ""
    red, green, blue = (round(255 + (end - 255) * share) for end in (8, 81, 156))
    return f"background:rgb({red},{green},{blue});color:{ink_on((red / 255, green / 255, blue / 255))}"


def words(value: Any) -> str:
    """A record's value as a reader would write it."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {words(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(words(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _folds(folds: Set[int], folds_by: str) -> str:
    if folds_by in ("official", "frame"):
        return f"{folds_by} parts"
    return f"{len(folds)}{' by picture' if folds_by == 'picture' else ''}"


def _result_row(outcome: Outcome) -> ResultRow:
    figures = outcome.scores["figures"]
    cells = outcome.scores["cells"]
    bound = f" ({UPPER_BOUND})" if any(UPPER_BOUND in record for record in outcome.records) else ""
    return ResultRow(
        cells=(
            outcome.name + bound,
            outcome.entry.corpus,
            _paper(outcome.entry.paper),
            percent(figures["accuracy"]["people"]["mean"]),
            interval(figures["mean_accuracy"]["people"]),
            percent(figures["macro_f1"]["people"]["mean"]),
            NONE if outcome.parameters is None else f"{outcome.parameters:,}",
            duration(outcome.run.get("seconds")),
            str(len({cell["seed"] for cell in cells})),
            _folds({cell["fold"] for cell in cells}, outcome.entry.folds_by),
        ),
        method=outcome.entry.method,
    )


def _chance_row(corpus: str, outcome: Outcome) -> ResultRow:
    overall, mean = chance(outcome)
    return ResultRow(
        ("chance", corpus, NONE, percent(overall), percent(mean), *[NONE] * 5),
        "the most frequent class always",
        True,
    )


def _paper(figures: Mapping[str, float]) -> str:
    """The paper's own figures by its corpora: `accuracy_raf_db` and `mean_accuracy_raf_db` go together."""
    by_corpus: dict[str, list[str]] = {}
    for name, value in figures.items():
        kind = next((k for k in PAPER_FIGURES if name.startswith(f"{k}_")), None)
        corpus = name.removeprefix(f"{kind}_").replace("_", "-").upper()
        word = PAPER_FIGURES[kind] if kind else ""
        by_corpus.setdefault(corpus, []).append(f"{value * 100:.2f} {word}".strip())
    return "; ".join(f"{corpus}: {', '.join(values)}" for corpus, values in by_corpus.items()) or NONE
