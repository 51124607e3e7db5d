"""`titan job list`: prints a group's jobs as a table, page by page."""

import functools
from collections.abc import Callable
from typing import Any

import click

from broker.cli.client_options import group_argument, option, with_broker
from broker.cli.moments import age, wide_option
from broker.cli.options import example
from broker.cli.output import listing
from broker.cli.quantities import PastMoment
from broker.core.states import STATUSES, Status
from broker.core.words import counted
from broker.models.fields import MAX_JOBS
from broker.models.jobs import MAX_LOOKS, Job
from worker.client import Client

_TEXT_FILTERS = {
    "image": "Only jobs of this image.",
    "reason": "Only jobs with this reason.",
    "cause": "Only jobs that failed of this cause (titan group failures).",
    "worker": "Only jobs that this worker runs or reported.",
    "text": "Only jobs with this text in their payload.",
    "created_before": "Only jobs created before this time (yesterday).",
}
_COLUMNS = ("id", "status", "image", "created", "age", "reason")


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of filters. The command gets `filters`: the parameters of the list that were given."""

    @functools.wraps(command)
    def run(*, looks: int | None, not_retried: bool, **arguments: Any) -> Any:
        given = [(name, arguments.pop(name)) for name in _TEXT_FILTERS]
        filters = [(name, value) for name, value in given if value]
        filters += [("retried", 0)] if not_retried else []
        filters += [("looks", looks)] if looks is not None else []
        return command(filters=filters, **arguments)

    decorated = option("--looks", type=click.IntRange(1, MAX_LOOKS), help="Maximum number of jobs to read for a page.")(
        run
    )
    decorated = option("--not-retried", is_flag=True, help="Without jobs that were retried.")(decorated)
    for name, words in reversed(_TEXT_FILTERS.items()):
        kind = PastMoment() if name == "created_before" else click.STRING
        decorated = option(f"--{name.replace('_', '-')}", default="", type=kind, help=words)(decorated)
    return decorated


@example(
    "titan job list mail --status failed --status cancelled --newest",
    "titan job list mail --status failed --text ann@example.com --not-retried",
    "titan job list mail --all --json | jq -r '.jobs[].id'",
)
@click.command(
    "list",
)
@group_argument
@option(
    "--status", "statuses", multiple=True, type=click.Choice(STATUSES), help="Only jobs in this status; repeatable."
)
@option("--created-after", default="", type=PastMoment(), help="Only jobs created after this time (2 hours ago).")
@option("-n", "--n", default=50, type=click.IntRange(1, MAX_JOBS), show_default=True, help="Maximum number of jobs.")
@option("--all", "every", is_flag=True, envvar="TITAN_JOB_LIST_ALL", help="List all jobs, without a limit.")
@option("--newest", is_flag=True, help="List the newest jobs first.")
@option("--cursor", default="", help="Continue an earlier list at its end.")
@filter_options
@wide_option
@with_broker
async def list_(
    client: Client,
    group: str,
    statuses: tuple[Status, ...],
    created_after: str,
    n: int,
    cursor: str,
    filters: list[tuple[str, str | int]],
    *,
    every: bool,
    newest: bool,
    as_json: bool,
) -> None:
    """List the jobs of a group, the oldest first.

    With filters such as --image or --text the broker reads a limited number of jobs (--looks) for each page.
    """
    wanted: list[tuple[str, str | int]] = [("n", MAX_JOBS if every else n), ("created_after", created_after), *filters]
    wanted += [("order", "desc" if newest else "asc"), *(("status", status) for status in dict.fromkeys(statuses))]
    page = await client.look(group, [*wanted, ("cursor", cursor)])
    if not page.jobs and not page.cursor:
        await client.group(group)  # raises NotFound for an unknown group
    looked, of = page.looked, page.of
    with listing("jobs", _COLUMNS, _row, as_json=as_json) as shown:
        shown.show(page.jobs, page.cursor or "")
        while every and page.cursor:
            page = await client.look(group, [*wanted, ("cursor", page.cursor)])
            looked = (looked or 0) + (page.looked or 0)
            shown.show(page.jobs, page.cursor or "")
    if filters:
        click.echo(f"{looked:,} of {counted(of or 0, 'job')} were read.", err=True)


def _row(job: Job) -> tuple[object, ...]:
    return job.id, job.status, job.image, job.created_at, age(job.created_at), job.reason or ""
