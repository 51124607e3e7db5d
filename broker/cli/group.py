"""`titan group`: lists and shows groups, changes their settings, pauses and resumes them.

PUT replaces all settings of a group. So `set` reads the current settings, changes them and sends them back. Two people
who change the same group at the same moment may undo each other's change.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple, Self

import click
import msgspec
from msgspec import UNSET

from broker.cli.client_options import EXIT_CODES, from_options, group_argument, option, pages, with_broker
from broker.cli.commands import CommandGroup
from broker.cli.options import RepeatableText, example
from broker.cli.output import listing, page, show_json, when
from broker.core.errors import NotFound
from broker.core.states import STATUSES
from broker.models.fields import MAX_JOBS
from broker.models.groups import Group, GroupSettings, GroupWrapper, Retentions
from worker.client import Client

_COLUMNS = ("group", "paused", *STATUSES)

CHANGEABLE = tuple(name for name in GroupSettings.__struct_fields__ if name in Group.__struct_fields__)
"""The settings that the API returns for a group."""

_DEFAULTS = Group(name="", created_at="")


@example("titan group list", "titan group set mail --max-concurrency 4")
@click.group(
    cls=CommandGroup,
    epilog=EXIT_CODES,
)
def group() -> None:
    """List groups of jobs and change their settings."""


@example("titan group list")
@click.command("list")
@with_broker
async def list_(client: Client, *, as_json: bool) -> None:
    """List all groups with their number of jobs in each status."""
    with listing("groups", _COLUMNS, _row, as_json=as_json) as shown:
        async for groups in pages(partial(client.groups, MAX_JOBS)):
            shown.show(groups)


@example("titan group show mail")
@click.command()
@group_argument
@with_broker
async def show(client: Client, group: str, *, as_json: bool) -> None:
    """Show the settings of one group and its number of jobs in each status."""
    _show(await client.group(group), as_json=as_json)


@example("titan group set mail --max-concurrency 4 --env SMTP=mx1", "titan group set mail --unset max_concurrency")
@click.command(
    "set",
)
@group_argument
@option("--image", help="Image of jobs that have none.")
@option("--max-concurrency", type=int, metavar="N", help="Maximum number of running jobs.")
@option("--rate-limit", type=int, metavar="N", help="Maximum number of deliveries per second.")
@option("--paused/--no-paused", default=None, help="Stop or allow the delivery of jobs.")
@option("--delivery-limit", type=int, metavar="N", help="Deliveries after which a job whose lease ends fails.")
@option("--require-lease/--no-require-lease", default=None, help="Accept only reports with the lease token, or all.")
@option("--keep-succeeded", type=int, metavar="S", help="How long succeeded jobs and their logs are kept, in s.")
@option("--keep-failed", type=int, metavar="S", help="How long failed jobs and their logs are kept, in s.")
@option("--keep-cancelled", type=int, metavar="S", help="How long cancelled jobs and their logs are kept, in s.")
@option(
    "--env", multiple=True, type=RepeatableText(), metavar="NAME=VALUE", help="Set a variable of its jobs; repeatable."
)
@option("--unset-env", multiple=True, type=RepeatableText(), metavar="NAME", help="Remove a variable; repeatable.")
@option("--unset", multiple=True, type=click.Choice(CHANGEABLE), help="Reset to the default; repeatable.")
@with_broker
async def set_(client: Client, group: str, *, as_json: bool, **options: Any) -> None:
    """Change settings of a group, or create the group.

    Settings that are not named keep their value.
    """
    changes = Changes.read(options)
    try:
        before = current_settings(await client.group(group))
    except NotFound:
        before = GroupSettings()
    _show(await client.configure(group, changes.applied(before)), as_json=as_json)


@example("titan group pause mail")
@click.command()
@group_argument
@with_broker
async def pause(client: Client, group: str, *, as_json: bool) -> None:
    """Stop the delivery of a group's jobs until it is resumed.

    Running jobs continue.
    """
    await _set_paused(client, group, paused=True, as_json=as_json)


@example("titan group resume mail")
@click.command()
@group_argument
@with_broker
async def resume(client: Client, group: str, *, as_json: bool) -> None:
    """Deliver the jobs of a paused group again."""
    await _set_paused(client, group, paused=False, as_json=as_json)


async def _set_paused(client: Client, name: str, *, paused: bool, as_json: bool) -> None:
    before = current_settings(await client.group(name))
    _show(await client.configure(name, Changes({"paused": paused}).applied(before)), as_json=as_json)


def _show(shown: Group, *, as_json: bool) -> None:
    if as_json:
        show_json(GroupWrapper(shown))
    else:
        click.echo(page([row for name in shown.__struct_fields__ for row in _rows(name, getattr(shown, name))]))


def _rows(name: str, value: Any) -> list[tuple[str, object]]:
    """The lines of a page for one field."""
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


class Changes(NamedTuple):
    """New values of settings, variables to set and to remove, and settings to reset to their defaults."""

    values: Mapping[str, Any]
    retention: Mapping[str, int] = {}
    env: Mapping[str, str] = {}
    unset_env: tuple[str, ...] = ()
    unset: tuple[str, ...] = ()

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> Self:
        """The changes that the options request. Raises UsageError when there are none."""
        keep = {name: options[f"keep_{name}"] for name in Retentions.__struct_fields__}
        changes = cls(
            _without_none({name: options[name] for name in CHANGEABLE if name in options}),
            _without_none(keep),
            dict(_variable(text) for text in options["env"]),
            options["unset_env"],
            options["unset"],
        )
        if not any(changes):
            raise click.UsageError("There is nothing to set; see --help.")
        return changes

    def applied(self, before: GroupSettings) -> GroupSettings:
        """The settings after the changes. Raises UsageError with the field for a value out of bounds."""
        settings = _without_none(msgspec.to_builtins(before))
        for name in self.unset:
            settings.pop(name, None)
        env_vars = settings.get("env_vars", {}) | dict(self.env)
        for name in self.unset_env:
            env_vars.pop(name, None)
        retention = settings.get("retention", {}) | dict(self.retention)
        maps = {"env_vars": env_vars or None, "retention": retention or None}
        return from_options(GroupSettings, settings | maps | dict(self.values))


def current_settings(group: Group) -> GroupSettings:
    """The settings of a group in the form of a PUT; settings with their default value are left out."""
    values = {name: getattr(group, name) for name in CHANGEABLE}
    return GroupSettings(
        **{name: value for name, value in values.items() if value is not UNSET and value != getattr(_DEFAULTS, name)}
    )


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"--env {text}: NAME=VALUE is expected.")
    return name, value


for _command in (list_, show, set_, pause, resume):
    group.add_command(_command)
