"""Tables in words, and as Markdown has them."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Grid:
    """A table in words, which the page and results.md both show."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str


def grid_lines(grid: Grid) -> list[str]:
    """The lines of a table and of its caption."""
    return [*markdown_table(grid.header, grid.rows), "", grid.caption]


def markdown_table(header: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table, bars within cells escaped."""
    lines = [header, ["---"] * len(header), *body]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
