"""HSNet's part of the report: its layers, its tables and how much its levels count."""

from collections.abc import Callable, Sequence
from statistics import fmean

import torch
from torch import Tensor, nn

from mien.config import parse_section
from mien.evaluation.closed_set import paper
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
from mien.evaluation.rows import NONE
from mien.methods.hsnet import HSNet, HSNetConfig


def hsnet_grids(outcomes: Sequence[Outcome]) -> list[tuple[str, Grid | None]]:
    """Titled tables of experiments of HSNet; None for one that has nothing to tell."""
    return [
        ("HSNet: layers (Table 1)", _layers(outcomes)),
        ("HSNet beside others (Tables 2 to 5)", _accuracies(outcomes)),
        ("HSNet: its parts (Table 6)", _parts(outcomes)),
        ("HSNet: how much each level counts", _levels(outcomes)),
    ]


def sizes(config: HSNetConfig) -> dict[str, str]:
    """Channels and sides of what each layer of a network with these settings gives, by Table 1's names."""
    found: dict[str, str] = {}
    with torch.device("meta"):
        net = HSNet(config, ["class"]).eval()  # one pixel of one picture is too few for batch statistics
        for name, layer in net.named_modules():
            layer.register_forward_hook(_noting(found, name))
        net.trunk(net.stem(torch.zeros(1, 3, config.input_px, config.input_px)))
    return found


def _noting(found: dict[str, str], name: str) -> Callable[[nn.Module, object, object], None]:
    def note(layer: nn.Module, given: object, made: object) -> None:
        if isinstance(made, Tensor):
            found[name] = " x ".join(map(str, made.shape[1:]))

    return note


def _layers(outcomes: Sequence[Outcome]) -> Grid | None:
    own = next((o for o in outcomes if _flags(o)[:2] == (True, True)), None)
    if own is None:
        return None
    equations = sizes(HSNetConfig())
    here = sizes(parse_section(HSNetConfig, settings_of(own), own.name, ""))
    rows = [(layer, printed, equations[layer], here[layer]) for layer, printed in paper.HSNET_LAYERS.items()]
    caption = (
        "Channels and sides of what each layer gives, for a picture of 224 px; in the last column at the "
        "experiment's own settings. The paper's stem has a row more (34 x 109 x 109), which would shrink the "
        "map again."
    )
    return Grid(("layer", "paper prints", "its equations give", own.name), rows, caption)


def _accuracies(outcomes: Sequence[Outcome]) -> Grid | None:
    """The printed rows, corpus by corpus, each with what ran on it here; then other corpora."""
    own = [o for o in outcomes if _flags(o)[:2] == (True, True) and not flipped(o)]
    if not own:
        return None
    rows: list[tuple[str, ...]] = []
    for (number, corpus), printed in paper.HSNET.items():
        for name, figures in printed.items():
            rows.append((str(number), corpus, name, *map(printed_as, figures), NONE, NONE))
        rows += [_row(str(number), outcome) for outcome in own if outcome.entry.corpus == corpus]
    known = {corpus for _, corpus in paper.HSNET}
    rows += [_row(NONE, outcome) for outcome in own if outcome.entry.corpus not in known]
    header = (
        "table", "corpus", "method or experiment", "paper, mean accuracy, %", "paper, accuracy, %",
        "here, mean accuracy, %", "here, accuracy, %",
    )  # fmt: skip
    caption = (
        "Here: HSNet, mean and ± the standard deviation over trainings. A corpus without a table stands in "
        "for those that are not here."
    )
    return Grid(header, rows, caption)


def _row(number: str, outcome: Outcome) -> tuple[str, ...]:
    cells = outcome.scores["cells"]
    values = [[cell[name] for cell in cells] for name in ("mean_accuracy", "accuracy")]
    return (number, outcome.entry.corpus, outcome.name, NONE, NONE, *map(spread, values))


def _parts(outcomes: Sequence[Outcome]) -> Grid | None:
    own = [o for o in outcomes if not flipped(o)]
    if len({_flags(o) for o in own}) < 2:
        return None
    corpora = corpora_of(own)
    yes: Callable[[bool], str] = lambda on: "yes" if on else "no"  # noqa: E731
    rows = []
    for flags, printed in paper.HSNET_ABLATION.items():
        here = [accuracy([o for o in own if _flags(o) == flags and o.entry.corpus == c]) for c in corpora]
        rows.append((*map(yes, flags), f"{printed:.2f}", *here))
    header = ("DIB", "FGAL", "KTL", "paper, raf_db, %", *(f"here, {c}, %" for c in corpora))
    return Grid(header, rows, "Accuracy. Without DIB the body is Inception-ResNet-V1's.")


def _levels(outcomes: Sequence[Outcome]) -> Grid | None:
    own = [o for o in outcomes if any(recorded(o, f"weight_a_{name}") for name in o.scores["classes"])]
    classes = list(dict.fromkeys(name for o in own for name in o.scores["classes"]))
    rows = []
    for outcome in own:
        for level, what in zip("abc", ("finest", "middle", "coarsest"), strict=True):
            found = [recorded(outcome, f"weight_{level}_{name}") for name in classes]
            rows.append((outcome.name, what, *(f"{fmean(v):.2f}" if v else NONE for v in found)))
    caption = (
        "Lambda, from 0 to 1 and no share of 1: means over the test faces of a class, and over trainings."
    )
    return Grid(("experiment", "level", *classes), rows, caption) if rows else None


def _flags(outcome: Outcome) -> tuple[bool, bool, bool]:
    settings = settings_of(outcome)
    return settings["dib"], settings["fgal"], settings["ktl"]
