"""`titan job list`: prints a group's jobs as a table, page by page."""

from functools import partial

import click

from broker.cli.client_options import group_argument, option, with_broker
from broker.cli.options import example
from broker.cli.output import age, listing
from broker.core.states import STATUSES, Status
from broker.models.fields import MAX_JOBS
from broker.models.jobs import Job
from worker.client import Client

_COLUMNS = ("id", "status", "image", "created", "age", "reason")


@example(
    "titan job list mail --status failed --status cancelled --newest",
    "titan job list mail --all --json | jq -r '.jobs[].id'",
)
@click.command(
    "list",
)
@group_argument
@option(
    "--status", "statuses", multiple=True, type=click.Choice(STATUSES), help="Only jobs in this status; repeatable."
)
@option("--created-after", default="", metavar="TIME", help="Only jobs created after this time (RFC 3339).")
@option("-n", "--n", default=50, type=click.IntRange(1, MAX_JOBS), show_default=True, help="Maximum number of jobs.")
@option("--all", "every", is_flag=True, envvar="TITAN_JOB_LIST_ALL", help="List all jobs, without a limit.")
@option("--newest", is_flag=True, help="List the newest jobs first.")
@option("--cursor", default="", help="Continue an earlier list at its end.")
@with_broker
async def list_(
    client: Client,
    group: str,
    statuses: tuple[Status, ...],
    created_after: str,
    n: int,
    cursor: str,
    *,
    every: bool,
    newest: bool,
    as_json: bool,
) -> None:
    """List the jobs of a group, the oldest first."""
    n = MAX_JOBS if every else n
    page = partial(
        client.list, group, n, created_after=created_after, statuses=tuple(dict.fromkeys(statuses)), newest_first=newest
    )
    jobs, cursor = await page(cursor=cursor)
    if not jobs and not cursor:
        await client.group(group)  # raises NotFound for an unknown group
    with listing("jobs", _COLUMNS, _row, as_json=as_json) as shown:
        shown.show(jobs, cursor)
        while every and cursor:
            jobs, cursor = await page(cursor=cursor)
            shown.show(jobs, cursor)


def _row(job: Job) -> tuple[object, ...]:
    return job.id, job.status, job.image, job.created_at, age(job.created_at), job.reason or ""
