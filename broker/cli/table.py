"""Tables for people: fitted to a terminal, and complete in a pipe.

On a terminal a cell never breaks: long cells end with an ellipsis, and columns are left out where there is no room.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from broker.cli.moments import is_wide
from broker.cli.safe_text import line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

GOOD, BAD, WAITS, BUSY = "color(28)", "bold color(160)", "color(127)", "color(30)"
"""Green, red, magenta and cyan of the 256 colours, which no theme changes: each can be read on black and on white.

A terminal with fewer colours shows its own. NO_COLOR turns them off.
"""
STATUS_STYLES = {"delayed": WAITS, "running": BUSY, "succeeded": GOOD, "failed": BAD, "cancelled": "dim"}
_GAP = 2
_LEAST_WIDTH = 8
"""What a column that can be cut keeps, in characters."""


class Column(NamedTuple):
    """A column of a table.

    `drop`: which columns are left out first where there is no room, the greatest first; 0 stays. `can_cut`: its cells
    may be cut on a terminal. `most`: how many characters of a cell a pipe gets. `styles`: colours by the cell's text.
    """

    name: str
    drop: int = 0
    can_cut: bool = False
    most: int = sys.maxsize
    styles: Mapping[str, str] = {}


class Rows:
    """Makes the cells of a table: the header once, then rows."""

    def __init__(self, columns: Sequence[str | Column], row: Callable[[Any], Sequence[object]]) -> None:
        self.columns = [Column(column, can_cut=True) if isinstance(column, str) else column for column in columns]
        self._row = row

    @property
    def head(self) -> list[str]:
        """The names of the columns."""
        return [column.name.upper() for column in self.columns]

    def cells(self, items: Sequence[Any]) -> list[list[str]]:
        """The cells of items as text."""
        return [[line(value) for value in self._row(item)] for item in items]


class TextTable:
    """A table for a pipe. Its columns grow with wider values and never shrink.

    Without columns the table has no header.
    """

    def __init__(self, columns: Sequence[str | Column], row: Callable[[Any], Sequence[object]]) -> None:
        self._rows = Rows(columns, row)
        self._head = self._rows.head
        self._widths: list[int] = []
        self._cursor = ""

    def show(self, items: Sequence[Any], cursor: str = "") -> None:
        """Print items, and the header before the first one."""
        self._cursor = cursor
        rows = [self._cut(row) for row in self._rows.cells(items)]
        if rows and self._head:
            rows.insert(0, self._head)
            self._head = []
        for row in rows:
            self._widths = [max(pair) for pair in zip_longest(self._widths, map(len, row), fillvalue=0)]
        for row in rows:
            padded = (f"{cell:<{width}}" for cell, width in zip(row, self._widths, strict=True))
            click.echo("  ".join(padded).rstrip())

    def end(self) -> None:
        """Print the cursor to stderr if the list continues."""
        show_cursor(self._cursor)

    def _cut(self, row: list[str]) -> list[str]:
        columns = self._rows.columns
        if not columns or is_wide():
            return row
        return [_shortened(cell, column.most) for cell, column in zip(row, columns, strict=True)]


class FittedTable:
    """A table for a terminal. Its columns are chosen with the first items."""

    def __init__(self, columns: Sequence[str | Column], row: Callable[[Any], Sequence[object]]) -> None:
        self._rows = Rows(columns, row)
        self._chosen: list[int] = []
        self._widths: list[int] = []
        self._cursor = ""

    def show(self, items: Sequence[Any], cursor: str = "") -> None:
        """Print items, and the header before the first one."""
        self._cursor = cursor
        if items:
            console = terminal()
            console.print(self.fitted(items, console.width), soft_wrap=False)

    def end(self) -> None:
        """Print the cursor to stderr if the list continues."""
        show_cursor(self._cursor)

    def fitted(self, items: Sequence[Any], width: int) -> "Table":
        """The table of some items, as wide as the terminal at most."""
        from rich.table import Table

        rows = self._rows.cells(items)
        is_first = not self._chosen
        if is_first:
            self._chosen = self._choose(rows, width)
        table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, show_header=is_first, header_style="bold")
        for place, number in enumerate(self._chosen):
            column = self._rows.columns[number]
            least = 0 if column.can_cut else self._widths[place]
            table.add_column(
                self._rows.head[number], no_wrap=not column.can_cut, overflow="ellipsis", min_width=least or None
            )
        for row in rows:
            table.add_row(*(self._cell(row[number], number) for number in self._chosen))
        return table

    def _cell(self, text: str, number: int) -> Any:
        from rich.text import Text

        style = self._rows.columns[number].styles.get(text, "")
        return Text(text, style=style, no_wrap=True, overflow="ellipsis", end="")

    def _choose(self, rows: list[list[str]], width: int) -> list[int]:
        """The columns that have something to say and room for it; notes their widths."""
        from rich.cells import cell_len

        columns = self._rows.columns
        chosen = [n for n, column in enumerate(columns) if not column.drop or any(row[n] for row in rows)]
        widths = {n: max(cell_len(row[n]) for row in [self._rows.head, *rows]) for n in chosen}
        least = {n: min(widths[n], _LEAST_WIDTH) if columns[n].can_cut else widths[n] for n in chosen}
        while sum(least[n] + _GAP for n in chosen) - _GAP > width:
            first = max(chosen, key=lambda n: columns[n].drop)
            if not columns[first].drop:
                break
            chosen.remove(first)
        self._widths = [widths[n] for n in chosen]
        return chosen


def table_for(columns: Sequence[str | Column], row: Callable[[Any], Sequence[object]]) -> "TextTable | FittedTable":
    """A table that fits the terminal; a complete one in a pipe and with --wide."""
    is_fitted = sys.stdout is not None and sys.stdout.isatty() and not is_wide() and bool(columns)
    return FittedTable(columns, row) if is_fitted else TextTable(columns, row)


def terminal() -> "Console":
    """The terminal at stdout. Texts are printed as they are."""
    from rich.console import Console

    return Console(file=sys.stdout, highlight=False, markup=False, emoji=False)


def show_cursor(cursor: str) -> None:
    """Print to stderr how a list continues."""
    if cursor:
        click.echo(f"There are more: --all, or --cursor {line(cursor)}", err=True)


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
