"""`titan unique`: shows which jobs hold the unique keys of a group, and frees a key."""

import click
from msgspec import UNSET

from broker.cli.client_options import group_argument, option, with_broker
from broker.cli.commands import EXIT_CODES, CommandGroup, TitanCommand
from broker.cli.moments import when, wide_option
from broker.cli.options import example
from broker.cli.output import listing, page, show_json
from broker.models.fields import MAX_JOBS
from broker.models.unique import HeldKey, HeldKeyWrapper
from worker.client import Client

_COLUMNS = ("key", "holder", "status", "follower", "ends")
key_argument = click.argument("key", metavar="KEY")


@example("titan unique list mail", "titan unique free mail doc-7")
@click.group(cls=CommandGroup, epilog=EXIT_CODES)
def unique() -> None:
    """Show and free the unique keys of jobs."""


@example("titan unique show mail doc-7")
@click.command(cls=TitanCommand)
@group_argument
@key_argument
@wide_option
@with_broker
async def show(client: Client, group: str, key: str, *, as_json: bool) -> None:
    """Show which job holds a unique key."""
    _page(await client.unique_key(group, key), as_json=as_json)


@example("titan unique free mail doc-7")
@click.command(cls=TitanCommand)
@group_argument
@key_argument
@wide_option
@with_broker
async def free(client: Client, group: str, key: str, *, as_json: bool) -> None:
    """Free a unique key, and show the job that held it.

    The job stays, without a key. A job that follows it still waits for its end.
    """
    _page(await client.free_unique_key(group, key), as_json=as_json)


@example("titan unique list mail")
@click.command("list", cls=TitanCommand, short_help="List the unique keys of a group that jobs hold.")
@group_argument
@option("-n", "--n", default=50, type=click.IntRange(1, MAX_JOBS), show_default=True, help="About how many keys.")
@option("--cursor", default="", help="Continue an earlier list at its end.")
@wide_option
@with_broker
async def list_(client: Client, group: str, n: int, cursor: str, *, as_json: bool) -> None:
    """List the unique keys of a group that jobs hold, in no order."""
    with listing("keys", _COLUMNS, _row, as_json=as_json, empty=f"No job of {group} holds a unique key.") as shown:
        found = await client.unique_keys(group, n, cursor)
        shown.show(found.keys, found.cursor or "")


def _row(held: HeldKey) -> tuple[object, ...]:
    ends = when(held.ends_at) if held.ends_at else ""
    return held.key, held.holder, held.status, held.follower or "", ends


def _page(held: HeldKey, *, as_json: bool) -> None:
    if as_json:
        show_json(HeldKeyWrapper(held))
        return
    ends = when(held.ends_at) if held.ends_at else UNSET
    rows = (("key", held.key), ("holder", held.holder), ("status", held.status))
    click.echo(page([*rows, ("follower", held.follower), ("ends", ends)]))


for _command in (show, list_, free):
    unique.add_command(_command)
