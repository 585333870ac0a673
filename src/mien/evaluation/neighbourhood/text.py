"""SNA's part of results.md."""

from mien.evaluation.markdown import markdown_table
from mien.evaluation.neighbourhood.section import NeighbourhoodSection
from mien.evaluation.one_class.section import Grid


def neighbourhood_markdown(section: NeighbourhoodSection) -> list[str]:
    """Its lines: its tables, each under its heading, and what the paper prints."""
    lines = ["", "## Semantic neighbourhoods: SNA"]
    for title, grid in section.titled:
        lines += ["", f"### {title}", "", *_grid(grid)]
    lines += ["", "### What the paper prints"]
    for grid in section.paper:
        lines += ["", *_grid(grid)]
    return [*lines, "", *(f"- {sentence}" for sentence in section.errata)]


def _grid(grid: Grid) -> list[str]:
    return [*markdown_table(grid.header, grid.rows), "", grid.caption]
