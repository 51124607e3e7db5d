"""Shows a table again and again on a terminal, until Ctrl-C."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import click

from broker.cli.output import is_terminal
from broker.cli.safe_text import line
from broker.cli.table import terminal
from worker.daemon.backoff import PASSING

if TYPE_CHECKING:
    from rich.console import RenderableType

INTERVAL_S = 2.0


async def watched(make: Callable[[], Awaitable["RenderableType"]]) -> None:
    """Show what `make` makes every two seconds, on a screen of its own. A broker that is away is said there.

    Raises UsageError without a terminal.
    """
    if not is_terminal():
        raise click.UsageError("--watch needs a terminal.")
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    shown: object = await make()
    with Live(console=terminal(), screen=True, auto_refresh=False) as screen:
        note = ""
        while True:
            footer = Text(note or "Ctrl-C ends this.", style="dim", no_wrap=True, overflow="ellipsis")
            screen.update(Group(shown, footer), refresh=True)  # type: ignore[arg-type]
            await asyncio.sleep(INTERVAL_S)
            try:
                shown, note = await make(), ""
            except PASSING as error:
                note = line(error.message)
