"""IDFERM's part of results.md."""

from mien.evaluation.identity.section import IdentitySection
from mien.evaluation.markdown import grid_lines


def identity_markdown(section: IdentitySection) -> list[str]:
    """Its lines: rivals, costs, sequences, generated faces, settings, what the paper prints."""
    lines = ["", "## Faces without their expression: IDFERM and its rivals", "", *grid_lines(section.rivals)]
    titled = (
        ("What the metric costs (Table 2)", section.costs),
        ("By sequence", section.sequences),
        ("Generated neutral faces (Table 1, Figure 10)", section.generation),
        *((grid.header[0], grid) for grid in section.settings),
    )
    for title, grid in titled:
        if grid:
            lines += ["", f"### {title}", "", *grid_lines(grid)]
    lines += ["", "### What the paper prints"]
    for grid in section.paper:
        lines += ["", *grid_lines(grid)]
    return [*lines, "", *(f"- {sentence}" for sentence in section.errata)]
