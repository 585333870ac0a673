"""EAN's and HSNet's part of the report: their tables, with what ran here beside what they print."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mien.evaluation.closed_set import paper
from mien.evaluation.closed_set.hsnet import hsnet_grids
from mien.evaluation.closed_set.noise import Rights, compared, rights
from mien.evaluation.closed_set.told import (
    accuracy,
    corpora_of,
    flipped,
    printed_as,
    recorded,
    settings_of,
    spread,
)
from mien.evaluation.markdown import Grid
from mien.evaluation.outcomes import Outcome
from mien.evaluation.rows import NONE, percent

NAMES = {"ean": "EAN", "scn": "SCN", "center_loss": "center loss", "resnet18": "ResNet-18", "hsnet": "HSNet"}
EAN, HSNET, RIVALS = "ean", "hsnet", ("resnet18", "center_loss", "scn")
MODES = ("self", "gallery", "batch")
COPIES = {"wild": "other picture of the person", "occluded": "occluded copy", "relit": "relit copy"}


@dataclass(frozen=True)
class ClosedSetSection:
    """Titled tables, and what is wrong in the printed ones."""

    grids: Sequence[tuple[str, Grid]]
    errata: Sequence[str]


def make_closed_set_section(outcomes: Sequence[Outcome], runs: Path) -> ClosedSetSection | None:
    """The section of EAN, HSNet and their rivals among these experiments; None without either."""
    ean = [o for o in outcomes if o.entry.method in (EAN, *RIVALS)]
    hsnet = [o for o in outcomes if o.entry.method == HSNET]
    grids: list[tuple[str, Grid | None]] = []
    if any(o.entry.method == EAN for o in ean):
        grids = [
            ("EAN: clean labels (Tables 1 and 2)", _clean(ean)),
            ("EAN: flipped training labels (Tables 3 and 4)", _noise(ean, runs)),
            ("EAN: backbones and the generator (Table 5)", _backbones(ean)),
            ("EAN: its parts, and the modes of prediction", _parts(ean)),
            ("EAN: how steady predictions are", _steady(ean)),
        ]
    if hsnet:
        grids += hsnet_grids(hsnet)
    found = [(title, grid) for title, grid in grids if grid is not None]
    return ClosedSetSection(found, paper.ERRATA) if found else None


def _whole(outcome: Outcome) -> bool:
    """Whether it is EAN with all its parts, or a rival."""
    if outcome.entry.method != EAN:
        return True
    settings = settings_of(outcome)
    graph = settings["graph"]
    return bool(settings["generator"]["use"] and graph["links"] == "similarity" and graph["loss"] != "none")


def _clean(outcomes: Sequence[Outcome]) -> Grid:
    own = [o for o in outcomes if not flipped(o) and o.entry.label_noise.file is None and _whole(o)]
    corpora = corpora_of(own)
    rows = []
    for name in (
        *paper.EAN_CLEAN,
        *(n for m, n in NAMES.items() if m in RIVALS and n not in paper.EAN_CLEAN),
    ):
        here = [[o for o in own if NAMES[o.entry.method] == name and o.entry.corpus == c] for c in corpora]
        printed = paper.EAN_CLEAN.get(name, (None, None))
        rows.append((name, *map(printed_as, printed), *map(accuracy, here)))
    header = ("method", *(f"paper, {c}, %" for c in paper.EAN_CORPORA), *(f"here, {c}, %" for c in corpora))
    return Grid(
        header, rows, "Overall accuracy; here the mean, and ± the standard deviation, over trainings."
    )


def _noise(outcomes: Sequence[Outcome], runs: Path) -> Grid | None:
    noisy = [o for o in outcomes if flipped(o) and _whole(o)]
    if not noisy:
        return None
    seen = {o.name: rights(o, runs) for o in noisy}
    rows = [
        (f"{share:.0%}", name, *map(printed_as, printed), *[NONE] * 5)
        for (share, name), printed in paper.EAN_NOISE.items()
        if name not in ("SCN", "EAN")
    ]
    for outcome in noisy:
        share, name, corpus = flipped(outcome), NAMES[outcome.entry.method], outcome.entry.corpus
        printed = paper.EAN_NOISE.get((share, name), (None, None))
        first = next(
            (o for o in noisy if o.entry.method == EAN and (flipped(o), o.entry.corpus) == (share, corpus)),
            None,
        )
        told = (
            _against(seen[first.name], seen[outcome.name]) if first and first is not outcome else (NONE,) * 3
        )
        accuracies = spread(seen[outcome.name].accuracies)
        rows.append(
            (f"{share:.0%}", name, *map(printed_as, printed), f"{outcome.name}: {accuracies}", *told, corpus)
        )
    header = (
        "flipped", "method", "paper, ferplus, %", "paper, raf_db, %", "here, %", "EAN less it, points",
        "paired t over trainings, p", "McNemar of each training, p", "corpus",
    )  # fmt: skip
    caption = (
        "Every method of a row's corpus and share reads the same flipped labels; test labels are clean. EAN "
        "less it: the mean over trainings with the same fold and seed. Few trainings make a weak t test, "
        "McNemar's takes a training as it is; none is adjusted for the number of comparisons."
    )
    return Grid(header, sorted(rows, key=lambda row: row[0]), caption)


def _against(ean: Rights, other: Rights) -> tuple[str, str, str]:
    found = compared(ean, other)
    if found is None:
        return NONE, NONE, NONE
    t = NONE if math.isnan(found.t_test) else f"{found.t_test:.3f}"
    return percent(found.difference, signed=True), t, ", ".join(f"{p:.3f}" for p in found.mcnemar)


def _backbones(outcomes: Sequence[Outcome]) -> Grid | None:
    own = [
        o for o in outcomes
        if o.entry.method == EAN and not flipped(o) and settings_of(o)["graph"]["links"] == "identity"
    ]  # fmt: skip
    if not own:
        return None
    corpora = corpora_of(own)
    rows = []
    for name, (ferplus, raf_db) in paper.EAN_BACKBONES.items():
        for on in (False, True):
            of = [o for o in own if _backbone(o) == (name, on)]
            here = [accuracy([o for o in of if o.entry.corpus == corpus]) for corpus in corpora]
            what = f"{name}{' with generator' if on else ''}"
            rows.append((what, f"{ferplus[on]:.1f}", f"{raf_db[on]:.1f}", *here))
    header = ("backbone", *(f"paper, {c}, %" for c in paper.EAN_CORPORA), *(f"here, {c}, %" for c in corpora))
    caption = "Here the classifier is EAN's without any link (A = I)."
    return Grid(header, rows, caption)


def _backbone(outcome: Outcome) -> tuple[str, bool]:
    settings = settings_of(outcome)
    return settings["backbone"], settings["generator"]["use"]


def _parts(outcomes: Sequence[Outcome]) -> Grid:
    rows = []
    for outcome in (o for o in outcomes if o.entry.method == EAN):
        settings = settings_of(outcome)
        graph = settings["graph"]
        marks = (
            "yes" if settings["generator"]["use"] else "no",
            graph["links"] + (" (upper bound)" if graph["links"] == "oracle" else ""),
            graph["loss"] if graph["links"] == "similarity" else NONE,
            f"{flipped(outcome):.0%}",
        )
        modes = [spread(recorded(outcome, f"accuracy_{mode}")) for mode in MODES]
        links = [spread(_last(outcome, f"link_{name}")) for name in ("density", "precision", "recall")]
        changed = spread(recorded(outcome, "changed_by_batch"))
        rows.append((outcome.name, *marks, *modes, changed, *links))
    header = (
        "experiment", "generator", "links", "link loss", "flipped", "alone, %", "gallery, %", "batch, %",
        "differ batch/gallery, %", "link density, %", "link precision, %", "link recall, %",
    )  # fmt: skip
    caption = (
        "Gallery is what predicts: a face and training faces chosen once. Alone: without links. Batch: the "
        "test faces of a shuffled batch linked to each other, a mean over five orders; it is measured and "
        "never used. Links: of training batches in the last epoch, against true labels."
    )
    return Grid(header, rows, caption)


def _steady(outcomes: Sequence[Outcome]) -> Grid | None:
    own = [o for o in outcomes if o.entry.method == EAN and recorded(o, "changed_relit")]
    if not own:
        return None
    rows = []
    for outcome in own:
        changed = [spread(recorded(outcome, f"changed_{name}")) for name in COPIES]
        generator = "yes" if settings_of(outcome)["generator"]["use"] else "no"
        links = settings_of(outcome)["graph"]["links"]
        seeds = str(len({cell["seed"] for cell in outcome.scores["cells"]}))
        every = spread(_of_all_pairs(outcome))
        rows.append((outcome.name, generator, links, f"{flipped(outcome):.0%}", *changed, every, seeds))
    copies = (f"{copy}, %" for copy in (*COPIES.values(), "all pairs"))
    header = ("experiment", "generator", "links", "flipped", *copies, "seeds")
    caption = (
        "Share of clean frontal test faces whose predicted expression changes, for another picture of the "
        "same person and expression (turned, in other light, now and then occluded), and for copies in which "
        "a rectangle of 10 to 30 % of the crop is covered or the light is changed. Mean ± standard deviation "
        "over trainings; the less, the steadier."
    )
    return Grid(header, rows, caption)


def _of_all_pairs(outcome: Outcome) -> list[float]:
    """Of each training, the share of pairs of every kind together whose predicted expressions differ."""
    names = (*(f"changed_{copy}" for copy in COPIES), "pairs_wild", "clean_faces")
    told = [recorded(outcome, name) for name in names]
    if len({len(values) for values in told}) > 1:  # a training whose test faces have no clean one among them
        return []
    return [
        (wild * pairs + (occluded + relit) * clean) / (pairs + 2 * clean)
        for wild, occluded, relit, pairs, clean in zip(*told, strict=True)
    ]


def _last(outcome: Outcome, name: str) -> list[float]:
    """A figure of the last epoch that tells it, of every training."""
    found: dict[tuple[int, int], tuple[int, float]] = {}
    for point in outcome.points:
        cell, at = (point["fold"], point["seed"]), point["epoch"]
        if point["name"] == name and point["value"] is not None and at >= found.get(cell, (-1, 0.0))[0]:
            found[cell] = (at, point["value"])
    return [value for _, value in found.values()]
