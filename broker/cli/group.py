"""`titan group`: lists and shows groups, changes their settings, pauses, resumes and deletes them.

`set`, `pause` and `resume` send their changes alone (PATCH). Variables are sent as a whole: so `set` reads them first,
and reads them again when another client has changed the group meanwhile.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, Self, TypeVar

import click
from msgspec import UNSET

from broker.cli.client_options import error_text, from_options, group_argument, option, pages, with_broker
from broker.cli.commands import EXIT_CODES, CommandGroup, TitanCommand
from broker.cli.group_delete import delete
from broker.cli.group_looking import failures, keys, why_group
from broker.cli.group_stats import stats
from broker.cli.moments import exact, when, wide_option
from broker.cli.options import RepeatableText, example
from broker.cli.output import listing, page, show_json
from broker.cli.policies import RETRY_HELP, RetryPolicy, in_words
from broker.cli.quantities import ByteSize, duration_of
from broker.cli.rates import RATE_HELP, RateText
from broker.cli.table import Column
from broker.core.errors import Changed, Invalid, NotFound
from broker.core.states import STATUSES
from broker.http.request.decoding import convert
from broker.models.fields import MAX_JOBS, Retention, StartWithin
from broker.models.groups import Group, GroupChanges, GroupWrapper, Retentions
from broker.store.format.rates import rate_in_words
from worker.client import Client

_COLUMNS = (
    Column("group", can_cut=True),
    Column("paused", drop=1),
    *(Column(status, drop=drop) for status, drop in zip(STATUSES, (3, 0, 0, 4, 2, 5), strict=True)),
)

CHANGEABLE = tuple(name for name in GroupChanges.__struct_fields__ if name in Group.__struct_fields__)
"""The settings that the API returns for a group."""
_IN_WORDS: Mapping[str, Callable[[Any], str]] = {
    "retry": in_words,
    "start_within": exact,
    "rate_limit": rate_in_words,
    "asleep": ", ".join,
}
_TIMES = 5
"""How often a change of variables is tried while others change the group too."""

F = TypeVar("F", bound=Callable[..., Any])


@example("titan group list", "titan group set mail --max-concurrency 4")
@click.group(
    cls=CommandGroup,
    epilog=EXIT_CODES,
)
def group() -> None:
    """List groups of jobs, change their settings and delete them."""


@example("titan group list")
@click.command("list", cls=TitanCommand)
@with_broker
async def list_(client: Client, *, as_json: bool) -> None:
    """List all groups with their number of jobs in each status."""
    with listing("groups", _COLUMNS, _row, as_json=as_json, empty="There is no group.") as shown:
        async for groups in pages(partial(client.groups, MAX_JOBS)):
            shown.show(groups)


@example("titan group show mail")
@click.command(cls=TitanCommand)
@group_argument
@wide_option
@with_broker
async def show(client: Client, group: str, *, as_json: bool) -> None:
    """Show the settings of one group and its number of jobs in each status."""
    _show(await client.group(group), as_json=as_json)


def _keep_option(status: str) -> Callable[[F], F]:
    text = f"How long {status} jobs and their logs are kept, such as 30d."
    return option(f"--keep-{status}", type=duration_of(Retention), help=text)


@example(
    "titan group set mail --max-concurrency 4 --env SMTP=mx1",
    "titan group set mail --keep-succeeded 30d --keep-failed 90d",
    "titan group set mail --dead-letter-to dead --start-within 2h",
    "titan group set render --key-concurrency 2 --fair-keys",
    "titan group set mail --rate 5000/h:50 --max-jobs 100000 --boost 500",
    "titan group set mail --unset max_concurrency",
)
@click.command("set", cls=TitanCommand)
@group_argument
@option("--image", help="Image of jobs that have none.")
@option("--max-concurrency", type=int, metavar="N", help="Maximum number of running jobs.")
@option("--rate-limit", "--rate", type=RateText(), help=f"Maximum number of deliveries. {RATE_HELP}")
@option("--max-jobs", type=int, metavar="N", help="Maximum number of unfinished jobs; then an enqueue is refused.")
@option("--max-bytes", type=ByteSize(), help="Maximum size of images and payloads of unfinished jobs, such as 64MiB.")
@option("--priority-boost", "--boost", type=int, metavar="N", help="A priority is worth a lead of N jobs.")
@option("--paused/--no-paused", default=None, help="Stop or allow the delivery of jobs.")
@option("--delivery-limit", type=int, metavar="N", help="Deliveries after which a job whose lease ends fails.")
@option("--require-lease/--no-require-lease", default=None, help="Accept only reports with the lease token, or all.")
@_keep_option("succeeded")
@_keep_option("failed")
@_keep_option("cancelled")
@option(
    "--env", multiple=True, type=RepeatableText(), metavar="NAME=VALUE", help="Set a variable of its jobs; repeatable."
)
@option("--unset-env", multiple=True, type=RepeatableText(), metavar="NAME", help="Remove a variable; repeatable.")
@option("--retry", type=RetryPolicy(), help=f"Of jobs without retries of their own. {RETRY_HELP}")
@option("--start-within", type=duration_of(StartWithin), help="Of jobs without a time to start, such as 2m.")
@option("--dead-letter-to", metavar="GROUP", help="The group that gets a copy of each job that failed for good.")
@option("--key-concurrency", type=int, metavar="N", help="Maximum number of jobs of one key that are queued or run.")
@option(
    "--key-strict/--no-key-strict",
    default=None,
    help="Keep the place of a job that waits for its next try, or give it to the next job of its key.",
)
@option("--fair-keys/--no-fair-keys", default=None, help="In fair order: let the keys of its jobs take turns, or not.")
@option("--weight", type=int, metavar="N", help="In fair order: jobs in one turn, 1 to 100; see titan order.")
@option("--note", metavar="TEXT", help="A note for people; it goes when a pause ends.")
@option("--unset", multiple=True, type=click.Choice(CHANGEABLE), help="Reset to the default; repeatable.")
@wide_option
@with_broker
async def set_(client: Client, group: str, *, as_json: bool, **options: Any) -> None:
    """Change settings of a group, or create the group.

    Settings that are not named keep their value.
    """
    changes = Changes.read(options)
    if not (changes.env or changes.unset_env):
        _show(await client.adjust(group, changes.applied({})), as_json=as_json)
        return
    for _ in range(_TIMES - 1):
        with suppress(Changed):
            _show(await _set_variables(client, group, changes), as_json=as_json)
            return
    _show(await _set_variables(client, group, changes), as_json=as_json)


@example("titan group pause mail --note 'provider down'")
@click.command(cls=TitanCommand)
@group_argument
@option("--note", metavar="TEXT", help="Say why, for people who look at the group.")
@wide_option
@with_broker
async def pause(client: Client, group: str, *, note: str | None, as_json: bool) -> None:
    """Stop the delivery of a group's jobs until it is resumed.

    Running jobs continue. The broker keeps since when the group is paused, and the name of the token that paused it.
    """
    changes = from_options(GroupChanges, {"paused": True, "note": note})
    await _adjust(client, group, changes, as_json=as_json)


@example("titan group resume mail")
@click.command(cls=TitanCommand)
@group_argument
@wide_option
@with_broker
async def resume(client: Client, group: str, *, as_json: bool) -> None:
    """Deliver the jobs of a paused group again.

    The note of the pause is removed.
    """
    await _adjust(client, group, GroupChanges(paused=False), as_json=as_json)


async def _adjust(client: Client, name: str, changes: GroupChanges, *, as_json: bool) -> None:
    """Change a group that exists. Raises NotFound."""
    await client.group(name)
    _show(await client.adjust(name, changes), as_json=as_json)


async def _set_variables(client: Client, name: str, changes: "Changes") -> Group:
    """Change settings and variables. Raises Changed if the group was changed between reading and writing."""
    try:
        before, tag = await client.group_tagged(name)
    except NotFound:
        return await client.adjust(name, changes.applied({}))
    return await client.adjust(name, changes.applied(before.env_vars or {}), tag)


def _show(shown: Group, *, as_json: bool) -> None:
    if as_json:
        show_json(GroupWrapper(shown))
    else:
        click.echo(page([row for name in shown.__struct_fields__ for row in _rows(name, getattr(shown, name))]))


def _rows(name: str, value: Any) -> list[tuple[str, object]]:
    """The lines of a page for one field."""
    if name in {"created_at", "paused_at"} and value is not UNSET:
        return [(name, when(value))]
    if name == "env_vars" and value is not UNSET:
        return [(name, "\n".join(f"{variable}={text}" for variable, text in value.items()))]
    if name == "retention":
        return [(f"keep {status}", exact(getattr(value, status))) for status in value.__struct_fields__]
    if name in _IN_WORDS and value is not UNSET:
        return [(name, _IN_WORDS[name](value))]
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

    def applied(self, env_vars: Mapping[str, str]) -> GroupChanges:
        """The changes as the API takes them. `env_vars` are the variables that the group has.

        Raises UsageError with the field for a value out of bounds.
        """
        changed: dict[str, Any] = dict.fromkeys(self.unset)
        if self.env or self.unset_env:
            kept = {} if "env_vars" in self.unset else dict(env_vars)
            kept |= self.env
            changed["env_vars"] = {name: value for name, value in kept.items() if name not in self.unset_env} or None
        if self.retention:
            reset = dict.fromkeys(Retentions.__struct_fields__) if "retention" in self.unset else {}
            changed["retention"] = reset | dict(self.retention)
        return changes_from(changed | dict(self.values))


def changes_from(values: Mapping[str, object]) -> GroupChanges:
    """Changes from options; None is the default. Raises UsageError with the field for a value out of bounds."""
    try:
        return convert(GroupChanges, dict(values))
    except Invalid as error:
        raise click.UsageError(error_text(error)) from None


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"--env {text}: NAME=VALUE is expected.")
    return name, value


for _command in (list_, show, set_, pause, resume, delete, stats, why_group, failures, keys):
    group.add_command(_command)
