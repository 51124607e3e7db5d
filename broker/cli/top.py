"""`titan top`: all groups as a table that follows what happens; with the extra `top` a screen with keys."""

import importlib.util
import os
from typing import TYPE_CHECKING

import click

from broker.cli.client_options import option, with_broker
from broker.cli.commands import TitanCommand
from broker.cli.options import example
from broker.cli.output import is_terminal, show_json
from broker.cli.table import FittedTable, table_for, terminal
from broker.cli.top_rows import COLUMNS, SORTS, row_of, summary_of
from broker.cli.watch import watched
from broker.models.overview import Overview, Sort
from worker.client import Client

if TYPE_CHECKING:
    from rich.console import RenderableType


@example("titan top", "titan top --plain --filter mail", "titan top --watch --sort queued")
@click.command(cls=TitanCommand, short_help="Show all groups on a screen that follows what happens.")
@option("--sort", type=click.Choice(SORTS), default="oldest", show_default=True, help="By what groups are sorted.")
@option("-n", "--n", default=50, type=click.IntRange(1, 200), show_default=True, help="Maximum number of groups.")
@option("--filter", "part", default="", help="Only groups with this in their names; on the screen / changes it.")
@option("--plain", is_flag=True, help="Print the table once, without a screen.")
@option("--watch", is_flag=True, help="Print the table every two seconds, until Ctrl-C.")
@with_broker
async def top(client: Client, *, sort: Sort, n: int, part: str, plain: bool, watch: bool, as_json: bool) -> None:
    """Show all groups: what waits, runs and fails, and how fast.

    With pip install 'titan-broker[top]' it is a screen with keys: s sorts, / filters, Enter opens a group's jobs and
    then a job's log, p pauses or resumes a group, c cancels a job, q ends. Without that extra, or without a terminal,
    it is the table of --plain.
    """
    if as_json:
        show_json(await client.overview(sort, n, part))
    elif watch and not plain:
        await watched(lambda: _table(client, sort, n, part))
    elif plain or not (is_terminal() and os.isatty(0)):
        _print(await client.overview(sort, n, part))
    elif importlib.util.find_spec("textual") is None:
        _print(await client.overview(sort, n, part))
        click.echo("The screen with keys needs the extra top: pip install 'titan-broker[top]'. Or: --watch.", err=True)
    else:
        from broker.cli.top_screen import TopScreen

        await TopScreen(client, sort, n, part).run_async()


def _print(found: Overview) -> None:
    click.echo(summary_of(found))
    for alert in found.alerts:
        click.echo(f"! {alert.text}")
    shown = table_for(COLUMNS, row_of)
    shown.show(found.groups)
    if not found.groups:
        click.echo("There is no group.", err=True)


async def _table(client: Client, sort: Sort, n: int, part: str) -> "RenderableType":
    from rich.console import Group
    from rich.text import Text

    found = await client.overview(sort, n, part)
    lines = [Text(text) for text in (summary_of(found), *(f"! {alert.text}" for alert in found.alerts))]
    return Group(*lines, FittedTable(COLUMNS, row_of).fitted(found.groups, terminal().width))
