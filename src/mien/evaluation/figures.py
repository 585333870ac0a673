"""Charts as PNG bytes: confusion matrices, learning curves, and all experiments against each other."""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mien.evaluation.metrics import Counts, Floats, row_normalised

DPI = 160
INK, FAINT, BLUE, ORANGE = (
    "#1b1f24",
    "#c4cad1",
    "#0072b2",
    "#d55e00",
)  # the last two of Okabe and Ito: told apart by all
INK_LUMINANCE = 0.0135
CURVES_INCHES = 4.4, 3.1
PALETTE = (BLUE, ORANGE, "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKS = "osv^Dx*P<>h"

Curve = Sequence[tuple[int, float]]
"""(epoch over all phases, value), ascending."""


@dataclass(frozen=True)
class Bar:
    """A figure of one experiment with its bounds, as shares of 1; NaN bounds draw none."""

    name: str
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Curves:
    """Learning curves of one experiment: name of the curve -> one curve a cell."""

    losses: Mapping[str, Sequence[Curve]]
    shares: Mapping[str, Sequence[Curve]]
    starts: Sequence[tuple[str, int]]  # phase, its first epoch over all phases


@dataclass(frozen=True)
class RatioCurve:
    """One method in the ratio study: a mean and its band at each ratio, as shares of 1."""

    name: str
    mean: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    bold: bool


def of_experiment(name: str, scores: Mapping[str, Any], curves: Curves) -> dict[str, bytes]:
    """An experiment's confusion matrix, out of its scores.json, and the learning curves that it has.

    By kind: `confusion`, `loss`, `validation`.
    """
    counts = np.array(scores["confusion"])
    drawn = {"confusion": confusion(counts, scores["classes"], f"{name}: % of each actual class")}
    if curves.losses:
        drawn["loss"] = losses(curves, name)
    if curves.shares:
        drawn["validation"] = shares(curves, name)
    return drawn


def confusion(counts: Counts, classes: Sequence[str], title: str) -> bytes:
    """Row-normalised percentages of a matrix (C, C) of counts, with the counts of each class."""
    percent = row_normalised(counts) * 100
    side = 1.7 + 0.52 * len(classes)
    figure, axes = _figure(side, side)
    image = np.where(np.isnan(percent), 0, percent)
    drawn = axes.imshow(image, cmap="Blues", vmin=0, vmax=100, aspect="equal")
    for row, column in np.ndindex(percent.shape):
        if not np.isnan(percent[row, column]):
            ink = ink_on([float(c) for c in drawn.cmap(percent[row, column] / 100)[:3]])
            text = f"{percent[row, column]:.0f}"
            axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=10)
    axes.set_xticks(
        range(len(classes)), classes, rotation=45, ha="right", rotation_mode="anchor", fontsize=10
    )
    names = [f"{name} ({total})" for name, total in zip(classes, counts.sum(axis=1), strict=True)]
    axes.set_yticks(range(len(classes)), names, fontsize=10)
    axes.set_xlabel("predicted", fontsize=10)
    axes.set_ylabel("actual (samples)", fontsize=10)
    axes.set_title(title, fontsize=11, loc="left")
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return _png(figure)


def class_differences(
    points: Floats, classes: Sequence[str], title: str, rows: str = "actual", columns: str = "predicted"
) -> bytes:
    """Where one training has more (blue) or less (orange) than another, class by class.

    points (C, C): differences in percentage points; NaN is left blank. rows, columns: what the classes are.
    """
    side = 1.7 + 0.52 * len(classes)
    figure, axes = _figure(side, side)
    shown = np.where(np.isnan(points), 0, points)
    reach = max(10.0, float(np.abs(shown).max()))
    colours = LinearSegmentedColormap.from_list("difference", [ORANGE, "white", BLUE])
    drawn = axes.imshow(shown, cmap=colours, vmin=-reach, vmax=reach, aspect="equal")
    for row, column in np.argwhere(~np.isnan(points)).tolist():
        ink = ink_on([float(c) for c in drawn.cmap(drawn.norm(shown[row, column]))[:3]])
        text = f"{shown[row, column]:+.0f}".replace("-", "\N{MINUS SIGN}")
        axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=10)
    axes.set_xticks(
        range(len(classes)), classes, rotation=45, ha="right", rotation_mode="anchor", fontsize=10
    )
    axes.set_yticks(range(len(classes)), classes, fontsize=10)
    axes.set_xlabel(columns, fontsize=10)
    axes.set_ylabel(rows, fontsize=10)
    axes.set_title(title, fontsize=11, loc="left")
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return _png(figure)


def compared(bars: Sequence[Bar], chance: float | None, label: str) -> bytes:
    """Means with intervals, one row an experiment, and a line where chance lies."""
    figure, axes = _figure(5.6, 1.1 + 0.36 * len(bars))
    for row, bar in enumerate(reversed(bars)):
        if not math.isnan(bar.low):
            axes.plot(
                [bar.low * 100, bar.high * 100], [row, row], color=BLUE, linewidth=2.5, solid_capstyle="butt"
            )
        axes.plot([bar.mean * 100], [row], "o", color=BLUE, markersize=7)
        right = bar.mean if math.isnan(bar.high) else bar.high
        text = f"{bar.mean * 100:.1f}"
        axes.annotate(text, (right * 100, row), (7, 0), textcoords="offset points", va="center", fontsize=10)
    if chance is not None:
        axes.axvline(chance * 100, color=ORANGE, linestyle="--", linewidth=1.2)
        where = (chance * 100, 1)
        axes.annotate(
            "chance",
            where,
            (0, 3),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            color=ORANGE,
            fontsize=9,
            ha="center",
        )
    axes.set_yticks(range(len(bars)), [bar.name for bar in reversed(bars)], fontsize=10)
    axes.set_xlim(0, 108)  # room for the number of a bar that ends at 100
    axes.set_xticks(range(0, 101, 20))
    axes.set_ylim(-0.7, len(bars) - 0.3)
    axes.set_xlabel(label, fontsize=10)
    _plain(axes, "x")
    return _png(figure)


def ratios(curves: Sequence[RatioCurve], names: Sequence[str], title: str) -> bytes:
    """Mean AUC in percent by the ratio of normal to alien faces, each method with its band."""
    figure, axes = _figure(7.6, 4.2)
    places = range(len(names))
    for number, curve in enumerate(curves):
        colour = INK if curve.bold else PALETTE[number % len(PALETTE)]
        axes.plot(
            places,
            [100 * value for value in curve.mean],
            linestyle="-" if curve.bold or number < len(PALETTE) else "--",
            marker=MARKS[number % len(MARKS)],
            markersize=5,
            label=curve.name,
            color=colour,
            linewidth=2.6 if curve.bold else 1.5,
        )
        low, high = ([100 * value for value in side] for side in (curve.low, curve.high))
        axes.fill_between(places, low, high, color=colour, alpha=0.1, linewidth=0)
    axes.axhline(50, color=FAINT, linewidth=1.2, zorder=0)
    axes.set_xticks(places, names, fontsize=10)
    axes.set_xlabel("normal faces to faces of each alien class", fontsize=10)
    axes.set_ylabel("mean AUC, %", fontsize=10)
    axes.set_title(title, fontsize=11, loc="left")
    _plain(axes, "both")
    axes.legend(fontsize=9, frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return _png(figure)


def distances(named: Mapping[str, Floats], marks: Mapping[str, float], label: str) -> bytes:
    """How distances are spread, an outline a name; marks: upright lines where something is decided."""
    figure, axes = _figure(6.4, 3.2)
    reach = 1.05 * max([*(float(values.max()) for values in named.values()), *marks.values()])
    for colour, (name, values) in zip(PALETTE, named.items(), strict=False):
        axes.hist(values, bins=60, range=(0, reach), histtype="step", linewidth=1.6, color=colour, label=name)
    for line, (name, place) in zip(("--", ":", "-."), marks.items(), strict=False):
        axes.axvline(place, color=INK, linewidth=1.2, linestyle=line, label=name)
    axes.set_xlabel(label, fontsize=10)
    axes.set_ylabel("faces", fontsize=10)
    _plain(axes, "both")
    axes.legend(fontsize=9, frameon=False)
    return _png(figure)


def losses(curves: Curves, title: str) -> bytes:
    """Loss by epoch: a thin line a cell, a strong one for their mean."""
    figure, axes = _figure(*CURVES_INCHES)
    _panel(axes, curves.losses, curves.starts, 1)
    axes.set_ylabel("loss", fontsize=10)
    values = [value for named in curves.losses.values() for curve in named for _, value in curve]
    axes.set_ylim(0, 1.08 * max(values, default=1.0) or 1.0)
    axes.set_title(f"{title}: loss", fontsize=11, loc="left", pad=26)
    return _png(figure)


def shares(curves: Curves, title: str) -> bytes:
    """Validation accuracy in percent by epoch: a thin line a cell, a strong one for their mean."""
    figure, axes = _figure(*CURVES_INCHES)
    _panel(axes, curves.shares, curves.starts, 100)
    axes.set_ylabel("%", fontsize=10)
    axes.set_ylim(0, 102)
    axes.set_title(f"{title}: validation", fontsize=11, loc="left", pad=26)
    return _png(figure)


def ink_on(colour: Sequence[float]) -> str:
    """Dark or white, whichever has more contrast on a colour of red, green and blue in 0..1 (WCAG 2.2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return INK if (luminance + 0.05) ** 2 > 1.05 * (INK_LUMINANCE + 0.05) else "#ffffff"


def mean_curve(curves: Sequence[Curve]) -> list[tuple[int, float]]:
    """The mean over cells at each epoch that any of them has."""
    at: dict[int, list[float]] = {}
    for curve in curves:
        for epoch, value in curve:
            at.setdefault(epoch, []).append(value)
    return [(epoch, math.fsum(values) / len(values)) for epoch, values in sorted(at.items())]


def _panel(
    axes: Axes, named: Mapping[str, Sequence[Curve]], starts: Sequence[tuple[str, int]], scale: float
) -> None:
    for colour, (name, curves) in zip(PALETTE, sorted(named.items()), strict=False):
        for curve in curves if len(curves) > 1 else ():
            axes.plot(*_xy(curve, starts, scale), color=colour, linewidth=0.8, alpha=0.35)
        mean = mean_curve(curves)
        mark = "o" if len(mean) < 3 * len(starts) else ""  # a phase of one epoch would leave no line
        label = name.replace("_", " ")
        axes.plot(
            *_xy(mean, starts, scale), color=colour, linewidth=2, label=label, marker=mark, markersize=5
        )
    for number, (phase, start) in enumerate(starts):
        if len(starts) > 1:
            axes.axvline(start, color=FAINT, linewidth=1, zorder=0)
            place, offset = (start, 1), (3, 3 + 11 * (number % 2))  # by turns, as phases may be short
            axes.annotate(
                phase.replace("_", " "),
                place,
                offset,
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                fontsize=9,
            )
    axes.set_xlabel("epoch, all phases", fontsize=10)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _plain(axes, "both")
    axes.legend(fontsize=9, frameon=False)


def _xy(
    curve: Sequence[tuple[int, float]], starts: Sequence[tuple[str, int]], scale: float
) -> tuple[list[float], list[float]]:
    """Epochs and values, with a gap between phases: they may count different losses and labels."""
    points = [(float(epoch), value * scale) for epoch, value in curve]
    gaps = [(start - 0.5, math.nan) for _, start in starts]
    x, y = zip(*sorted(points + gaps), strict=True)
    return list(x), list(y)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    return figure, figure.add_subplot()


def _plain(axes: Axes, grid: Literal["both", "x"]) -> None:
    axes.grid(axis=grid, color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=10)
    for name in ("top", "right", "left"):
        axes.spines[name].set_visible(False)


def _png(figure: Figure) -> bytes:
    """The drawn figure; equal figures give equal bytes."""
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
