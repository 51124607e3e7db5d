"""The verbs of a consumer, for use by hand: `titan job next|start|touch|succeed|fail|release|hold`."""

from typing import Any, get_args

import click
import msgspec

from broker.cli.client_options import group_argument, id_argument, option, with_broker
from broker.cli.commands import TitanCommand
from broker.cli.options import RepeatableText, example
from broker.cli.output import listing, show_json
from broker.cli.quantities import Duration, duration_of
from broker.models.fields import MAX_JOBS, Delay
from broker.models.jobs import AfterOn, Job, JobWrapper
from broker.models.retries import RetryAfter
from worker.client import Client

_COLUMNS = ("id", "group", "image", "expires", "lease")

lease_option = option(
    "--lease", default="", metavar="TOKEN", help="Lease token of this delivery, as printed by `next`."
)


@example("titan job next --group mail --wait 30 --json")
@click.command("next", cls=TitanCommand)
@option("-n", "--n", default=1, type=click.IntRange(1, MAX_JOBS), show_default=True, help="Maximum number of jobs.")
@option(
    "--group",
    "groups",
    multiple=True,
    type=RepeatableText(),
    metavar="GROUP",
    help="Only jobs of this group; repeatable.",
)
@option("--wait", "wait_s", default=0, type=Duration(0, 30), help="Time to wait for the first job: up to 30s.")
@option(
    "--lease",
    "lease_s",
    type=Duration(1),
    help="Duration of the lease, such as 30s or 5m; the default is the job's timeout.",
)
@with_broker
async def next_(
    client: Client, n: int, groups: tuple[str, ...], wait_s: int, lease_s: int | None, *, as_json: bool
) -> None:
    """Take the next jobs from the queue.

    They are then running. Touch each one before its lease ends, otherwise it is queued again.
    """
    jobs = await client.next(n, groups, wait_s=wait_s, lease_s=lease_s)
    with listing("jobs", _COLUMNS, _row, as_json=as_json) as shown:
        shown.show(jobs)
    if not jobs:
        click.echo("No job is ready.", err=True)


@example("titan job start mail 0hYjB6dJb7Pq2Xk9 --lease TOKEN")
@click.command(cls=TitanCommand, short_help="Take a job by its id, or restart its lease.")
@group_argument
@id_argument
@lease_option
@with_broker
async def start(client: Client, group: str, job_id: str, lease: str, *, as_json: bool) -> None:
    """Take a queued job by its id, or restart the lease of a running one."""
    _show(await client.start(group, job_id, lease), as_json=as_json)


@example("titan job touch mail 0hYjB6dJb7Pq2Xk9 --lease TOKEN")
@click.command(cls=TitanCommand, short_help="Renew the lease of a running job.")
@group_argument
@id_argument
@lease_option
@with_broker
async def touch(client: Client, group: str, job_id: str, lease: str, *, as_json: bool) -> None:
    """Renew the lease of a running job, and print its new end."""
    expires_at = await client.touch(group, job_id, lease)
    if as_json:
        show_json({"id": job_id, "ok": True, "expires_at": expires_at})
    else:
        click.echo(expires_at)


@example("titan job succeed mail 0hYjB6dJb7Pq2Xk9 --lease TOKEN")
@click.command(cls=TitanCommand)
@group_argument
@id_argument
@lease_option
@option("--result", help="What the job made: JSON, or any other text.")
@with_broker
async def succeed(client: Client, group: str, job_id: str, lease: str, result: str | None, *, as_json: bool) -> None:
    """Report that a running job succeeded."""
    _show(await client.succeed(group, job_id, lease, result=_value(result)), as_json=as_json)


@example("titan job fail mail 0hYjB6dJb7Pq2Xk9 --lease TOKEN --reason bad_exit --error 'exit status 3'")
@click.command(cls=TitanCommand)
@group_argument
@id_argument
@lease_option
@option("--reason", default="", help="Kind of failure: timeout, killed, bad_exit, exception or any other word.")
@option("--error", default="", help="Description of the failure, for people.")
@option("--no-retry", is_flag=True, help="The job fails for good: it is not tried again.")
@option(
    "--retry-after",
    "retry_after_s",
    type=duration_of(RetryAfter),
    help="Wait before the next try, such as 90s or 10m, in place of that of the retry policy.",
)
@with_broker
async def fail(
    client: Client, group: str, job_id: str, lease: str, *, no_retry: bool, as_json: bool, **how: Any
) -> None:
    """Report that a running job failed.

    By its retry policy the job waits for its next try. If it has max_retries left, the new job is created immediately.
    """
    _show(await client.fail(group, job_id, lease, retry=not no_retry, **how), as_json=as_json)


@example("titan job release mail 0hYjB6dJb7Pq2Xk9 --lease TOKEN --delay 10m")
@click.command(cls=TitanCommand, short_help="Return a running job to the queue.")
@group_argument
@id_argument
@lease_option
@option(
    "--delay",
    "delay_s",
    default=0,
    type=duration_of(Delay),
    show_default=True,
    help="Delay before the job is queued again, such as 90s or 10m.",
)
@with_broker
async def release(client: Client, group: str, job_id: str, lease: str, delay_s: int, *, as_json: bool) -> None:
    """Put a running job back into the queue at its old rank.

    The delivery is not counted.
    """
    _show(await client.release(group, job_id, lease, delay_s=delay_s), as_json=as_json)


@example(
    "titan job hold mail 0hYjB6dJb7Pq2Xk9 --lease TOKEN --after 0hYjB6dJb7Pq2XkA",
    'titan job hold "$TITAN_GROUP" "$TITAN_JOB_ID" --after "$first" --after "$second"',
)
@click.command(cls=TitanCommand, short_help="Have a running job wait for others, and run again.")
@group_argument
@id_argument
@option(
    "--lease",
    default="",
    envvar="TITAN_LEASE",
    metavar="TOKEN",
    help="Lease token of this delivery, as printed by `next`; in a job of a worker TITAN_LEASE has it.",
)
@option(
    "--after", "after", required=True, multiple=True, metavar="ID", help="A job that it waits for. Repeat it for more."
)
@option(
    "--after-on",
    default="over",
    type=click.Choice(get_args(get_args(AfterOn)[0])),
    show_default=True,
    help="Which end of these jobs is enough. With succeeded the job is cancelled when one of them does not succeed.",
)
@with_broker
async def hold(
    client: Client, group: str, job_id: str, lease: str, after: tuple[str, ...], after_on: str, *, as_json: bool
) -> None:
    """Give a running job back until other jobs have ended.

    Then it is queued at its old rank, and runs again. The delivery is not counted. What the jobs made is in the inputs
    of the job then. A command that a worker runs calls this as its last step, and nothing may follow the call: the
    next run may start while this one still runs.
    """
    _show(await client.wait_for(group, job_id, lease, after, after_on), as_json=as_json)


def _show(job: Job, *, as_json: bool) -> None:
    if as_json:
        show_json(JobWrapper(job))
    else:
        click.echo(f"{job.id} {job.status}")


def _row(job: Job) -> tuple[object, ...]:
    return job.id, job.group_name, job.image, job.expires_at or "", job.lease or ""


def _value(text: str | None) -> object:
    """A text as JSON, or as it is if it is none."""
    if text is None:
        return None
    try:
        return msgspec.json.decode(text)
    except msgspec.MsgspecError:
        return text
