"""`titan group`: see groups, set them, pause and resume them."""

from functools import partial
from typing import Any

import click
from msgspec import UNSET

from broker.cli.client_options import EXIT_CODES, group_argument, option, pages, with_broker
from broker.cli.commands import CommandGroup
from broker.cli.group_changes import CHANGEABLE, Changes, in_force
from broker.cli.options import Pieces, example
from broker.cli.output import listing, page, show_json, when
from broker.core.errors import NotFound
from broker.core.states import STATUSES
from broker.models.fields import MAX_JOBS
from broker.models.groups import Group, GroupSettings, GroupWrapper
from worker.client import Client

_COLUMNS = ("group", "paused", *STATUSES)


@click.group(cls=CommandGroup, epilog=EXIT_CODES)
def group() -> None:
    """Look at groups of jobs, and set how they are handed out."""


@click.command("list", epilog=example("titan group list"))
@with_broker
async def list_(client: Client, *, as_json: bool) -> None:
    """List all groups with their numbers of jobs."""
    with listing("groups", _COLUMNS, _row, as_json=as_json) as shown:
        async for groups in pages(partial(client.groups, MAX_JOBS)):
            shown.show(groups)


@click.command(epilog=example("titan group show mail"))
@group_argument
@with_broker
async def show(client: Client, group: str, *, as_json: bool) -> None:
    """Show one group: its settings and its numbers of jobs."""
    _show(await client.group(group), as_json=as_json)


@click.command(
    "set",
    epilog=example(
        "titan group set mail --max-concurrency 4 --env SMTP=mx1", "titan group set mail --unset max_concurrency"
    ),
)
@group_argument
@option("--image", help="The image of jobs that name none.")
@option("--max-concurrency", type=int, metavar="N", help="How many of its jobs may run at once.")
@option("--rate-limit", type=int, metavar="N", help="How many of its jobs are handed out a second.")
@option("--paused/--no-paused", default=None, help="Whether it hands nothing out.")
@option("--delivery-limit", type=int, metavar="N", help="Deliveries before a lost job is failed.")
@option("--require-lease/--no-require-lease", default=None, help="Whether every report needs its lease token.")
@option("--keep-succeeded", type=int, metavar="S", help="How long succeeded jobs and their logs are kept, in s.")
@option("--keep-failed", type=int, metavar="S", help="How long failed jobs and their logs are kept, in s.")
@option("--keep-cancelled", type=int, metavar="S", help="How long cancelled jobs and their logs are kept, in s.")
@option("--env", multiple=True, type=Pieces(), metavar="NAME=VALUE", help="A variable for its jobs; repeatable.")
@option("--unset-env", multiple=True, type=Pieces(), metavar="NAME", help="Take a variable away; repeatable.")
@option("--unset", multiple=True, type=click.Choice(CHANGEABLE), help="Back to the default; repeatable.")
@with_broker
async def set_(client: Client, group: str, *, as_json: bool, **options: Any) -> None:
    """Change settings of a group. Those that are not named stay; a group that is not there is made."""
    changes = Changes.read(options)
    try:
        before = in_force(await client.group(group))
    except NotFound:
        before = GroupSettings()
    _show(await client.configure(group, changes.applied(before)), as_json=as_json)


@click.command(epilog=example("titan group pause mail"))
@group_argument
@with_broker
async def pause(client: Client, group: str, *, as_json: bool) -> None:
    """Hand out none of a group's jobs until it is resumed. Running jobs go on."""
    await _set_paused(client, group, paused=True, as_json=as_json)


@click.command(epilog=example("titan group resume mail"))
@group_argument
@with_broker
async def resume(client: Client, group: str, *, as_json: bool) -> None:
    """Hand out a paused group's jobs again."""
    await _set_paused(client, group, paused=False, as_json=as_json)


async def _set_paused(client: Client, name: str, *, paused: bool, as_json: bool) -> None:
    before = in_force(await client.group(name))
    _show(await client.configure(name, Changes({"paused": paused}).applied(before)), as_json=as_json)


def _show(shown: Group, *, as_json: bool) -> None:
    if as_json:
        show_json(GroupWrapper(shown))
    else:
        click.echo(page([row for name in shown.__struct_fields__ for row in _rows(name, getattr(shown, name))]))


def _rows(name: str, value: Any) -> list[tuple[str, object]]:
    """The lines of a page that one field makes."""
    if name == "created_at":
        return [(name, when(value))]
    if name == "env_vars" and value is not UNSET:
        return [(name, "\n".join(f"{variable}={text}" for variable, text in value.items()))]
    if name == "retention":
        return [(f"keep {status}", f"{getattr(value, status)} s") for status in value.__struct_fields__]
    if name == "counts":
        return [(status, getattr(value, status)) for status in STATUSES]
    return [(name, ("yes" if value else "no") if isinstance(value, bool) else value)]


def _row(shown: Group) -> tuple[object, ...]:
    return shown.name, "yes" if shown.paused else "no", *(getattr(shown.counts, status) for status in STATUSES)


for _command in (list_, show, set_, pause, resume):
    group.add_command(_command)
