"""Output of commands: pages and tables for people, JSON for scripts.

Jobs contain text of other people (reasons, payloads, logs). Control characters in it could take over the terminal of
the reader (CWE-150). So pages and tables omit them, JSON escapes them, and a log loses them on a terminal.
"""

import codecs
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from typing import Any, Protocol, Self

import click
import msgspec

from broker.core.words import counted

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-Z\\^-~])")
_UNFINISHED = re.compile(r"(?:\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b]*\x1b?|[ -/]*)|\r)\Z")
_LONGEST_SEQUENCE = 4096


def line(text: object) -> str:
    """A value as text without line breaks: control characters and white space become single spaces."""
    return " ".join(_CONTROLS.sub(" ", str(text)).split())


def page(rows: Sequence[tuple[str, object]]) -> str:
    """Names and values, one pair per line; a value with several lines is indented. Empty values are left out."""
    shown = [(name, _lines(str(value))) for name, value in rows if value not in ("", None, msgspec.UNSET)]
    width = max((len(name) for name, _ in shown), default=0) + 2
    return "\n".join(f"{name:<{width}}" + f"\n{' ' * width}".join(lines) for name, lines in shown)


def show_json(value: object) -> None:
    """Print a value as indented JSON."""
    click.echo(msgspec.json.format(_json(value), indent=2))


class Listing(Protocol):
    """A list that is printed part by part, for people or as JSON."""

    def show(self, items: Sequence[Any], cursor: str = "") -> None:
        """Print items. `cursor`: where the list continues after them, '' at the end."""


class TextTable:
    """A table whose columns grow with wider values and never shrink. `row` makes the cells of an item.

    Without column names the table has no header.
    """

    def __init__(self, columns: Sequence[str], row: Callable[[Any], Sequence[object]]) -> None:
        self._head = [column.upper() for column in columns]
        self._row = row
        self._widths: list[int] = []
        self._cursor = ""

    def show(self, items: Sequence[Any], cursor: str = "") -> None:
        """Print items, and the header before the first one."""
        self._cursor = cursor
        rows = [[line(value) for value in self._row(item)] for item in items]
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
        if self._cursor:
            click.echo(f"There are more: --all, or --cursor {line(self._cursor)}", err=True)


class JsonList:
    """`{"jobs": [...]}`, printed item by item so that a long list is never in memory as a whole."""

    def __init__(self, name: str) -> None:
        self._next = f'{{"{name}": [\n'
        self._cursor = ""

    def show(self, items: Sequence[Any], cursor: str = "") -> None:
        """Print items."""
        self._cursor = cursor
        for item in items:
            click.echo(self._next + _json(item), nl=False)
            self._next = ",\n"

    def end(self) -> None:
        """Close the list."""
        start = "\n" if self._next == ",\n" else self._next
        more = f', "cursor": {_json(self._cursor)}' if self._cursor else ""
        click.echo(f"{start}]{more}}}")


@contextmanager
def listing(
    name: str, columns: Sequence[str], row: Callable[[Any], Sequence[object]], *, as_json: bool
) -> Iterator[Listing]:
    """A table or a JSON list. Its end comes also after an error, but not after one of stdout."""
    shown: JsonList | TextTable = JsonList(name) if as_json else TextTable(columns, row)
    try:
        yield shown
    except SystemExit:
        raise
    except BaseException:
        shown.end()
        raise
    shown.end()


class TerminalText:
    """Turns the bytes of a log, part by part, into text that is safe on a terminal.

    It removes colours and other escape sequences, also one that is split over two parts, and every other control
    character except tab and newline. A carriage return becomes a new line, so that a log cannot overwrite its lines.
    """

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
        self._held = ""

    def feed(self, piece: bytes, *, last: bool = False) -> str:
        """The safe text of the next part. An unfinished sequence at its end is kept for the next call."""
        text = self._held + self._decode(piece, last)
        text = _SEQUENCE.sub("", text)
        end = None if last else _UNFINISHED.search(text)
        cut = end.start() if end and len(end[0]) < _LONGEST_SEQUENCE else len(text)
        text, self._held = text[:cut], text[cut:]
        return "\n".join(_clean(part) for part in re.split(r"\r\n|\r|\n", text))


def is_terminal() -> bool:
    """Whether stdout is a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()


class Progress(Protocol):
    """Shows how much work is done."""

    def update(self, n_steps: int) -> None:
        """Add finished steps."""


@contextmanager
def progress(length: int | None, label: str, *, is_wanted: bool) -> Iterator[Progress]:
    """A progress bar on stderr if stderr is a terminal, otherwise nothing.

    When the length is unknown (None) it shows a count, which is erased at the end. A length of 0 has no bar.
    """
    if not (is_wanted and length != 0 and sys.stderr.isatty()):
        yield _Silent()
    elif length is None:
        with _Count(label) as count:
            yield count
    else:
        endless: Iterator[None] = (None for _ in ())
        with click.progressbar(endless, length=length, label=label, file=sys.stderr) as bar:
            yield bar


class _Silent:
    def update(self, n_steps: int) -> None:
        """Show nothing."""


class _Count:
    """A line with the number of finished steps, erased at the end of the block."""

    def __init__(self, word: str) -> None:
        self._word = word
        self._total = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._total:
            click.echo("\r\x1b[K", nl=False, err=True)

    def update(self, n_steps: int) -> None:
        """Overwrite the old number with the new one."""
        self._total += n_steps
        click.echo(f"\r{counted(self._total, self._word)} checked", nl=False, err=True)


def _clean(text: str) -> str:
    return "\t".join(_CONTROLS.sub("", part) for part in text.split("\t"))


def _lines(text: str) -> list[str]:
    return [_clean(part) for part in text.splitlines()]


def _json(value: object) -> str:
    text = msgspec.json.encode(value).decode()
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
