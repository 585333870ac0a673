"""The one-class part of results.md."""

from mien.evaluation.markdown import grid_lines
from mien.evaluation.one_class.heat import HeatMaps
from mien.evaluation.one_class.paper import ERRATA
from mien.evaluation.one_class.section import OneClassSection, TrialSection


def one_class_markdown(section: OneClassSection, heat: HeatMaps | None) -> list[str]:
    """Its lines: a table a trial, what of the paper appears, Tables 4 and 5, the paper's tables, heat."""
    lines = ["", "## One class at a time", "", *grid_lines(section.experiments)]
    for trial in section.trials:
        lines += _trial(trial)
    for title, grid in (("Ablations (Table 4)", section.ablations), ("Scores (Table 5)", section.rules)):
        if grid:
            lines += ["", f"### {title}", "", *grid_lines(grid)]
    if heat:
        lines += ["", "### Heat inside the regions of action units (Figure 4)", "", heat.about, ""]
        lines += grid_lines(heat.numbers)
    lines += ["", "### What the paper prints"]
    for grid in section.paper_tables:
        lines += ["", *grid_lines(grid)]
    return [*lines, "", *(f"- {sentence}" for sentence in ERRATA)]


def _trial(trial: TrialSection) -> list[str]:
    lines = ["", f"### {trial.title}", ""]
    if trial.loud:
        lines += [f"**{trial.loud}**", ""]
    lines += [trial.about, "", *grid_lines(trial.table), ""]
    lines += [f"- **{sentence}**" for sentence in trial.suspicious]
    lines += [f"- {sentence}" for sentence in trial.orderings]
    return [*lines, *(f"- Empty cell: {reason}." for reason in trial.empty)]
