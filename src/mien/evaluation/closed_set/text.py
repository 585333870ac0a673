"""EAN's and HSNet's part of results.md."""

from mien.evaluation.closed_set.section import ClosedSetSection
from mien.evaluation.markdown import grid_lines


def closed_set_markdown(section: ClosedSetSection) -> list[str]:
    """Its lines: every table with its title and caption, then what is wrong in the printed ones."""
    lines = ["", "## EAN and HSNet beside their papers"]
    for title, grid in section.grids:
        lines += ["", f"### {title}", "", *grid_lines(grid)]
    return [*lines, "", *(f"- {sentence}" for sentence in section.errata)]
