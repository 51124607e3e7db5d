"""`titan job result`: what a job made."""

import click
import msgspec
from msgspec import UNSET

from broker.cli.client_options import REFUSED, TIMED_OUT, group_argument, id_argument, option, with_broker
from broker.cli.commands import TitanCommand
from broker.cli.options import example
from broker.cli.quantities import Duration
from broker.cli.safe_text import line
from broker.core.states import FINISHED
from broker.models.jobs import Job
from worker.client import Client


@example("titan job result mail 0hYjB6dJb7Pq2Xk9 --wait 20s")
@click.command(
    epilog="Exit codes: 0 the job succeeded; 1 it failed, was cancelled or does not exist; 2 wrong usage; 3 the broker "
    "cannot be reached; 124 it is not finished; 130 Ctrl-C.",
    cls=TitanCommand,
    short_help="Print what a job made.",
)
@group_argument
@id_argument
@option("--wait", "wait_s", default=0, type=Duration(0, 30), help="Time to wait for the end of the job: up to 30s.")
@with_broker
async def result(client: Client, group: str, job_id: str, wait_s: int, *, as_json: bool) -> int:
    """Print what a job made, as JSON on one line; with --json, indented.

    A job that succeeded without a result prints null.
    """
    found = await client.show(group, job_id, wait_s=wait_s)
    if found.status != "succeeded":
        click.echo(line(f"{job_id} has no result: {_why(found)}"), err=True)
        return REFUSED if found.status in FINISHED else TIMED_OUT
    text = b"null" if found.result is UNSET else bytes(found.result)
    click.echo(msgspec.json.format(text, indent=2) if as_json else text)
    return 0


def _why(job: Job) -> str:
    """The status of a job, with its reason if it has one."""
    return f"it is {job.status}, {job.reason}" if job.reason else f"it is {job.status}"
