"""Output of commands: pages and lists for people, JSON for scripts. Control characters are escaped in JSON."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, Self

import click
import msgspec

from broker.cli.safe_text import CONTROLS, clean
from broker.cli.table import Column, FittedTable, TextTable, table_for
from broker.core.words import counted


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
    name: str,
    columns: Sequence[str | Column],
    row: Callable[[Any], Sequence[object]],
    *,
    as_json: bool,
    empty: str = "",
) -> Iterator[Listing]:
    """A table or a JSON list. Its end comes also after an error, but not after one of stdout.

    `empty`: what stderr gets for people if nothing was shown.
    """
    shown: JsonList | TextTable | FittedTable = JsonList(name) if as_json else table_for(columns, row)
    counting = _Counting(shown)
    try:
        yield counting
    except SystemExit:
        raise
    except BaseException:
        shown.end()
        raise
    shown.end()
    if empty and not (as_json or counting.n_shown):
        click.echo(empty, err=True)


class _Counting:
    """A listing that counts its items."""

    def __init__(self, shown: Listing) -> None:
        self._shown = shown
        self.n_shown = 0

    def show(self, items: Sequence[Any], cursor: str = "") -> None:
        """Print items."""
        self.n_shown += len(items)
        self._shown.show(items, cursor)


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


def _lines(text: str) -> list[str]:
    return [clean(part) for part in text.splitlines()]


def _json(value: object) -> str:
    text = msgspec.json.encode(value).decode()
    return CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
