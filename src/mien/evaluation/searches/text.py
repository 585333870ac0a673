"""The searches' part of results.md."""

from collections.abc import Sequence

from mien.evaluation.markdown import markdown_table
from mien.evaluation.searches.section import SearchShown


def searches_markdown(searches: Sequence[SearchShown]) -> list[str]:
    """Its lines: for each search what it found, and its trials."""
    lines = ["", "## Searches for settings"]
    for search in searches:
        lines += ["", f"### {search.name}", "", *(f"- {sentence}" for sentence in search.sentences), ""]
        lines += markdown_table(search.header, search.rows)
    return lines
