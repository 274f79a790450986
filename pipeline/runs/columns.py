"""Tables of runs in the terminal: as many columns side by side as fit."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

WIDEST_NAME = 24  # cells; a longer one continues in the next line
WIDEST_HEAD = 9


@dataclass(frozen=True)
class Column:
    """A column of a table. rank: where the width is too small, the greatest is dropped first.

    name: of runs: its cells are folded where they are long.
    """

    head: str
    cells: Sequence[str]
    rank: int = 0
    left: bool = False
    name: bool = False

    @property
    def width(self) -> int:
        """In cells of the terminal."""
        widest = max(cell_len(text) for text in (*self.head.split("\n"), *self.cells))
        return min(widest, WIDEST_NAME) if self.name else widest


def fold_head(key: str, width: int = WIDEST_HEAD) -> str:
    """Break a name that is longer than `width` after `_`, `/` or `.`, into lines."""
    lines = [""]
    for part in re.findall(r"[^_/.]*[_/.]|[^_/.]+", key):
        if lines[-1] and len(lines[-1] + part) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def choose_columns(columns: Sequence[Column], width: int) -> list[Column]:
    """Choose those that fit beside each other, in their order; those of rank 0 in any case."""
    chosen: list[int] = []
    room = width + 1
    for i in sorted(range(len(columns)), key=lambda i: columns[i].rank):
        if columns[i].rank == 0 or columns[i].width < room:
            chosen.append(i)
            room -= columns[i].width + 1
    return [columns[i] for i in sorted(chosen)]


def print_table(columns: Sequence[Column], console: Console) -> None:
    """Print columns beside each other; lines that are longer than the terminal are not cut."""
    width = sum(each.width + 1 for each in columns) - 1
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), collapse_padding=True)
    for each in columns:
        justify: JustifyMethod = "left" if each.left else "right"
        table.add_column(Text(each.head), justify=justify, width=each.width, overflow="fold")
    for cells in zip(*(each.cells for each in columns), strict=True):
        table.add_row(*map(Text, cells))
    Console(file=console.file, width=max(console.width, width)).print(table)
