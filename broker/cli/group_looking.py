"""`titan group why`, `titan group failures` and `titan group keys`."""

import click

from broker.cli.client_options import group_argument, option, with_broker
from broker.cli.commands import EXIT_CODES, TitanCommand
from broker.cli.moments import age, is_wide, wide_option
from broker.cli.options import example
from broker.cli.output import listing, show_json
from broker.cli.reasons import show_explanation
from broker.core.errors import TitanError
from broker.models.failures import MAX_FAILURE_LOOKS, Cause
from broker.models.fields import MAX_JOBS
from broker.models.lanes import KeyJobs, NoKeyJobs
from worker.client import Client

_COLUMNS = ("cause", "jobs", "reason", "error", "first", "last", "newest")
_KEYS = ("key", "queued", "running", "held", "turn", "oldest")


@example("titan group why mail")
@click.command("why", epilog=EXIT_CODES, cls=TitanCommand, short_help="Explain why a group's first job does not run.")
@group_argument
@with_broker
async def why_group(client: Client, group: str, *, as_json: bool) -> None:
    """Explain why the first queued job of a group does not run.

    All reasons are listed, the worst first, with their numbers.
    """
    show_explanation(await client.why(group), as_json=as_json)


@example("titan group failures mail")
@click.command(epilog=EXIT_CODES, cls=TitanCommand, short_help="List the causes of a group's failures.")
@group_argument
@option(
    "--looks",
    default=MAX_FAILURE_LOOKS,
    type=click.IntRange(1, MAX_FAILURE_LOOKS),
    show_default=True,
    help="Maximum number of failed jobs to read, the newest first.",
)
@wide_option
@with_broker
async def failures(client: Client, group: str, looks: int, *, as_json: bool) -> None:
    """List the causes of a group's failures, the most frequent first.

    Errors that differ only in numbers, ids, addresses or quoted words count as one; # is in their place.
    To act on one: titan bulk retry GROUP --cause CAUSE, or titan job list GROUP --cause CAUSE.
    """
    found = await client.failures(group, looks)
    if as_json:
        show_json(found)
        return
    with listing("causes", _COLUMNS, _row, as_json=False, empty="The group has no failed job.") as shown:
        shown.show(found.causes)
    if found.looked < found.of:
        click.echo(f"These are the last {found.looked:,} of {found.of:,} failed jobs.", err=True)


def _row(cause: Cause) -> tuple[object, ...]:
    first, last = (at if is_wide() else f"{age(at)} ago" for at in (cause.first, cause.last))
    return cause.cause, cause.n, cause.reason, cause.signature, first, last, cause.ids[0]


@example("titan group keys render")
@click.command(cls=TitanCommand, short_help="List the keys of a group's jobs.")
@group_argument
@option("-n", "--n", default=50, type=click.IntRange(1, MAX_JOBS), show_default=True, help="Maximum number of keys.")
@wide_option
@with_broker
async def keys(client: Client, group: str, n: int, *, as_json: bool) -> None:
    """List the keys of a group's jobs, those with the most jobs first.

    A job that is held waits until fewer jobs of its key are queued or run. `turn` is the place of a key while keys take
    turns, which needs fair_keys of the group and the order fair; stderr says when the order keeps fair_keys asleep.
    Jobs without a key come last: they take turns as one key.
    """
    found = await client.keys(group, n)
    if as_json:
        show_json(found)
    else:
        with listing("keys", _KEYS, _key_row, as_json=False, empty=f"No job of {group} is queued or runs.") as shown:
            shown.show(found.keys)
            if found.no_key and found.no_key.queued + found.no_key.running:
                shown.show([found.no_key])
    await _tell_asleep(client, group)


async def _tell_asleep(client: Client, group: str) -> None:
    """Say on stderr if the order of the broker keeps fair_keys from its work: the list alone does not show that."""
    try:
        asleep = (await client.group(group)).asleep
    except TitanError:  # there is no group of this name yet; the list stands
        return
    if asleep and "fair_keys" in asleep:
        click.echo("fair_keys has no effect while the order is fifo: keys take no turns. See titan order.", err=True)


def _key_row(found: KeyJobs | NoKeyJobs) -> tuple[object, ...]:
    if isinstance(found, NoKeyJobs):
        return "(no key)", found.queued, found.running, "", found.turn or "", ""
    oldest = found.oldest_at or ""
    return (
        found.key,
        found.queued,
        found.running,
        found.held,
        found.turn or "",
        oldest if is_wide() or not oldest else f"{age(oldest)} ago",
    )
