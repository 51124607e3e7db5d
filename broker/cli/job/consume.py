"""A consumer's verbs by hand: `titan job next|start|touch|succeed|fail|release`."""

import click

from broker.cli.client_options import group_argument, id_argument, option, with_broker
from broker.cli.options import Pieces, example
from broker.cli.output import listing, show_json
from broker.models.fields import MAX_JOBS
from broker.models.jobs import Job, JobWrapper
from worker.client import Client

_COLUMNS = ("id", "group", "image", "expires", "lease")

lease_option = option("--lease", default="", metavar="TOKEN", help="The token that `next` gave for this delivery.")


@click.command("next", epilog=example("titan job next --group mail --wait 30 --json"))
@option("-n", "--n", default=1, type=click.IntRange(1, MAX_JOBS), show_default=True, help="How many at most.")
@option("--group", "groups", multiple=True, type=Pieces(), metavar="GROUP", help="Only of this group; repeatable.")
@option("--wait", "wait_s", default=0, type=click.IntRange(0, 30), help="How long to wait for a first job, in s.")
@option(
    "--lease",
    "lease_s",
    type=click.IntRange(min=1),
    metavar="S",
    help="Hold the jobs for so many s, not their timeout.",
)
@with_broker
async def next_(
    client: Client, n: int, groups: tuple[str, ...], wait_s: int, lease_s: int | None, *, as_json: bool
) -> None:
    """Take the next jobs to run. They are running then, and lost to you when their lease ends untouched."""
    jobs = await client.next(n, groups, wait_s=wait_s, lease_s=lease_s)
    with listing("jobs", _COLUMNS, _row, as_json=as_json) as shown:
        shown.show(jobs)
    if not jobs:
        click.echo("No job is ready.", err=True)


@click.command(epilog=example("titan job start mail 0hYjB6dJb7Pq2Xk9 --lease TOKEN"))
@group_argument
@id_argument
@lease_option
@with_broker
async def start(client: Client, group: str, job_id: str, lease: str, *, as_json: bool) -> None:
    """Begin a queued job, or begin the lease of a running one anew."""
    _show(await client.start(group, job_id, lease), as_json=as_json)


@click.command(epilog=example("titan job touch mail 0hYjB6dJb7Pq2Xk9 --lease TOKEN"))
@group_argument
@id_argument
@lease_option
@with_broker
async def touch(client: Client, group: str, job_id: str, lease: str, *, as_json: bool) -> None:
    """Hold a running job for longer, and print the new end of the lease."""
    expires_at = await client.touch(group, job_id, lease)
    if as_json:
        show_json({"id": job_id, "ok": True, "expires_at": expires_at})
    else:
        click.echo(expires_at)


@click.command(epilog=example("titan job succeed mail 0hYjB6dJb7Pq2Xk9 --lease TOKEN"))
@group_argument
@id_argument
@lease_option
@with_broker
async def succeed(client: Client, group: str, job_id: str, lease: str, *, as_json: bool) -> None:
    """Say that a running job succeeded."""
    _show(await client.succeed(group, job_id, lease), as_json=as_json)


@click.command(
    epilog=example("titan job fail mail 0hYjB6dJb7Pq2Xk9 --lease TOKEN --reason bad_exit --error 'exit status 3'")
)
@group_argument
@id_argument
@lease_option
@option("--reason", default="", help="Why: timeout, killed, bad_exit, exception or own words.")
@option("--error", default="", help="What went wrong, for people.")
@with_broker
async def fail(client: Client, group: str, job_id: str, lease: str, reason: str, error: str, *, as_json: bool) -> None:
    """Say that a running job failed. Its automatic retry, if it has one left, is made at once."""
    _show(await client.fail(group, job_id, lease, reason=reason, error=error), as_json=as_json)


@click.command(epilog=example("titan job release mail 0hYjB6dJb7Pq2Xk9 --lease TOKEN --delay 60"))
@group_argument
@id_argument
@lease_option
@option(
    "--delay",
    "delay_s",
    default=0,
    type=click.IntRange(min=0),
    show_default=True,
    help="Wait before it is queued, in s.",
)
@with_broker
async def release(client: Client, group: str, job_id: str, lease: str, delay_s: int, *, as_json: bool) -> None:
    """Give a running job back to its old place; the delivery is not counted."""
    _show(await client.release(group, job_id, lease, delay_s=delay_s), as_json=as_json)


def _show(job: Job, *, as_json: bool) -> None:
    if as_json:
        show_json(JobWrapper(job))
    else:
        click.echo(f"{job.id} {job.status}")


def _row(job: Job) -> tuple[object, ...]:
    return job.id, job.group_name, job.image, job.expires_at or "", job.lease or ""
