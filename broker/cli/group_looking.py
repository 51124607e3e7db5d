"""`titan group why` and `titan group failures`."""

import click

from broker.cli.client_options import group_argument, option, with_broker
from broker.cli.commands import EXIT_CODES, TitanCommand
from broker.cli.moments import age, is_wide, wide_option
from broker.cli.options import example
from broker.cli.output import listing, show_json
from broker.cli.reasons import show_explanation
from broker.models.failures import MAX_FAILURE_LOOKS, Cause
from worker.client import Client

_COLUMNS = ("cause", "jobs", "reason", "error", "first", "last", "newest")


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
