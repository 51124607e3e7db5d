"""Tables of Markdown, and the texts around them."""

from collections.abc import Iterable
from pathlib import Path
from string import Template

HEADS = Path(__file__).parent / "heads"
"""The beginning of each page, with $NAME where something that is made from the code comes in."""


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table. A line break in a cell becomes a space, and `|` is escaped."""
    names = list(head)
    lines = [_line(names), _line("---" for _ in names), *(_line(row) for row in rows)]
    return "\n".join(lines) + "\n"


def _line(cells: Iterable[str]) -> str:
    texts = (" ".join(cell.split()).replace("|", "\\|") for cell in cells)
    return ("| " + " | ".join(texts) + " |").replace("|  |", "| |")


def page(name: str, **parts: str) -> str:
    """A page: its beginning, with the parts in it. Raises KeyError where one is missing."""
    return Template((HEADS / f"{name}.txt").read_text("utf-8")).substitute(parts)
