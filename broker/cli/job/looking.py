"""`titan job why`, `history` and `find`: for people who ask what became of a job."""

import re

import click

from broker.cli.client_options import id_argument, option, with_broker
from broker.cli.commands import EXIT_CODES, TitanCommand
from broker.cli.job.page import job_json, receipt_line, wait_text
from broker.cli.job.story import tell_story
from broker.cli.moments import wide_option
from broker.cli.options import example
from broker.cli.output import listing, show_json
from broker.cli.reasons import show_explanation
from broker.models.fields import JOB_ID
from broker.models.history import JobEvent
from worker.client import Client

_COLUMNS = ("at", "event", "delivery", "by", "details")
_names_argument = click.argument("names", metavar="[GROUP] ID", nargs=-1, required=True)


@example("titan job why 0hYjB6dJb7Pq2Xk9", "titan job why mail 0hYjB6dJb7Pq2Xk9 --json")
@click.command(epilog=EXIT_CODES, cls=TitanCommand)
@_names_argument
@with_broker
async def why(client: Client, names: tuple[str, ...], *, as_json: bool) -> None:
    """Explain why a job does not run.

    All reasons are listed, the worst first, with their numbers: a pause, a limit, full workers, jobs before it.
    """
    show_explanation(await client.why(*await _found(client, names)), as_json=as_json)


@example("titan job history 0hYjB6dJb7Pq2Xk9", "titan job history mail 0hYjB6dJb7Pq2Xk9 --json")
@click.command(epilog=EXIT_CODES, cls=TitanCommand)
@_names_argument
@wide_option
@with_broker
async def history(client: Client, names: tuple[str, ...], *, as_json: bool) -> None:
    """Show what happened to a job, in order.

    Each delivery has its worker and receipt, if they are kept; a release, cancel or retry has the name of the token.
    The last event of a job that is held says what the job waits for.
    """
    found = await client.history(*await _found(client, names))
    if as_json:
        show_json(found)
        return
    with listing("events", _COLUMNS, _row, as_json=False) as shown:
        shown.show(found.events)
    if not found.is_whole:
        click.echo("Some events are missing: a job keeps its last 10 rare ones.", err=True)


@example("titan job find 0hYjB6dJb7Pq2Xk9")
@click.command(epilog=EXIT_CODES, cls=TitanCommand, short_help="Show a job of any group by its id.")
@id_argument
@option("--full", is_flag=True, help="Show the whole payload.")
@wide_option
@with_broker
async def find(client: Client, job_id: str, *, full: bool, as_json: bool) -> None:
    """Show a job as `titan job show` does, without naming its group."""
    _check_id(job_id)
    found = await client.find(job_id)
    if as_json:
        show_json({"job": job_json(found)})
    else:
        await tell_story(client, found, is_full=full)


def _check_id(text: str) -> None:
    """Raise UsageError for what is no id of a job, such as the name of a group."""
    if re.fullmatch(JOB_ID, text) is None:
        raise click.UsageError(f"{text} is no id of a job: an id has 16 letters and digits.")


async def _found(client: Client, names: tuple[str, ...]) -> tuple[str, str]:
    """The group and the id. Raises UsageError, and NotFound for an id alone that no job has."""
    if len(names) > 2:
        raise click.UsageError("Give an id, or a group and an id.")
    if len(names) == 2:
        return names[0], names[1]
    _check_id(names[0])
    return (await client.find(names[0])).group_name, names[0]


def _row(event: JobEvent) -> tuple[object, ...]:
    move = f"{event.from_ or ''} -> {event.to}" if event.to and event.from_ != event.to else ""
    waits = f"waits for {wait_text(event.waits_for)}" if event.waits_for else ""
    receipt = receipt_line(event.receipt) if event.receipt else ""
    details = ", ".join(filter(None, [move.removeprefix(" "), waits, event.reason, event.job, receipt]))
    return event.at, event.what, event.delivery or "", event.by, details
