"""SNA's part of results.md."""

from mien.evaluation.markdown import grid_lines
from mien.evaluation.neighbourhood.section import NeighbourhoodSection


def neighbourhood_markdown(section: NeighbourhoodSection) -> list[str]:
    """Its lines: its tables, each under its heading, and what the paper prints."""
    lines = ["", "## Semantic neighbourhoods: SNA"]
    for title, grid in section.titled:
        lines += ["", f"### {title}", "", *grid_lines(grid)]
    lines += ["", "### What the paper prints"]
    for grid in section.paper:
        lines += ["", *grid_lines(grid)]
    return [*lines, "", *(f"- {sentence}" for sentence in section.errata)]
