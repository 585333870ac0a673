"""How a command prints what it found."""

import json
import sys
from typing import Any


def print_json(value: Any) -> None:
    """For a program to read."""
    print(json.dumps(value, indent=2))


def print_table(columns: list[str], rows: list[list[Any]]) -> None:
    """For a person: as wide as the terminal, 160 characters elsewhere."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    Console(width=None if sys.stdout.isatty() else 160).print(table)
