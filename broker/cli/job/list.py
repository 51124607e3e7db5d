"""`titan job list`: prints the jobs of a group, or of all groups, as a table, page by page."""

import functools
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import click

from broker.cli.client_options import complete_groups, option, with_broker
from broker.cli.commands import EXIT_CODES, TitanCommand
from broker.cli.job.all_groups import AllGroups
from broker.cli.job.page import job_json
from broker.cli.job.rows import COLUMNS, JobRows, cells, cells_of_group, without_group
from broker.cli.moments import wide_option
from broker.cli.options import example
from broker.cli.output import listing
from broker.cli.quantities import PastMoment
from broker.cli.table import FittedTable, terminal
from broker.cli.watch import watched
from broker.core.states import STATUSES, Status
from broker.core.words import counted
from broker.models.fields import MAX_JOBS
from broker.models.jobs import MAX_LOOKS, Job, JobsWrapper
from worker.client import Client

if TYPE_CHECKING:
    from rich.table import Table

_TEXT_FILTERS = {
    "image": "Only jobs of this image.",
    "reason": "Only jobs with this reason.",
    "cause": "Only jobs that failed of this cause (titan group failures).",
    "worker": "Only jobs that this worker runs or reported.",
    "text": "Only jobs with this text in their payload.",
    "created_before": "Only jobs created before this time (yesterday).",
    "completed_after": "Only jobs that ended after this time ('10:00').",
    "completed_before": "Only jobs that ended before this time ('12:30').",
}


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of filters. The command gets `filters`: the parameters of the list that were given."""

    @functools.wraps(command)
    def run(*, looks: int | None, not_retried: bool, dead: bool, **arguments: Any) -> Any:
        given = [(name, arguments.pop(name)) for name in _TEXT_FILTERS]
        filters = [(name, value) for name, value in given if value]
        filters += [("retried", 0)] if not_retried else []
        filters += [("dead", 1)] if dead else []
        filters += [("looks", looks)] if looks is not None else []
        return command(filters=filters, **arguments)

    decorated = option("--looks", type=click.IntRange(1, MAX_LOOKS), help="Maximum number of jobs to read for a page.")(
        run
    )
    decorated = option("--dead", is_flag=True, help="Only jobs that failed and were not retried.")(decorated)
    decorated = option("--not-retried", is_flag=True, help="Without jobs that were retried.")(decorated)
    for name, words in reversed(_TEXT_FILTERS.items()):
        kind = PastMoment() if name.endswith(("_before", "_after")) else click.STRING
        decorated = option(f"--{name.replace('_', '-')}", default="", type=kind, help=words)(decorated)
    return decorated


@example(
    "titan job list --status failed",
    "titan job list mail --status failed --status cancelled --newest",
    "titan job list mail --status failed --text ann@example.com --not-retried",
    "titan job list code --status failed --reason expired",
    "titan job list mail --all --json | jq -r '.jobs[].id'",
    "titan job list --watch",
)
@click.command("list", epilog=EXIT_CODES, cls=TitanCommand, short_help="List the jobs of a group, or of all groups.")
@click.argument("group", metavar="[GROUP]", required=False, shell_complete=complete_groups)
@option(
    "--status", "statuses", multiple=True, type=click.Choice(STATUSES), help="Only jobs in this status; repeatable."
)
@option("--created-after", default="", type=PastMoment(), help="Only jobs created after this time (2 hours ago).")
@option("-n", "--n", default=50, type=click.IntRange(1, MAX_JOBS), show_default=True, help="Maximum number of jobs.")
@option("--all", "every", is_flag=True, envvar="TITAN_JOB_LIST_ALL", help="List all jobs, without a limit.")
@option("--newest/--oldest", default=None, help="The newest jobs first, or the oldest.")
@option("--cursor", default="", help="Continue an earlier list of one group at its end.")
@option("--watch", is_flag=True, help="Show the list again every 2 seconds, until Ctrl-C.")
@filter_options
@wide_option
@with_broker
async def list_(client: Client, group: str | None, *, watch: bool, as_json: bool, **options: Any) -> None:
    """List the jobs of a group, the oldest first, or of all groups, the newest first.

    With filters such as --image or --text the broker reads a limited number of jobs (--looks) for each page.
    On a terminal, columns that do not fit are left out; --wide shows all of them. WHEN is the time since the job was
    created, or until a delayed job is due. DEADLINE is by when a job must start or end, if it must.
    """
    wanted = _Wanted(client, group, **options)
    if watch:
        if as_json or wanted.every:
            raise click.UsageError("--watch cannot be used with --json or --all.")
        await watched(wanted.table)
        return
    columns = COLUMNS if group is None else without_group(COLUMNS)
    row = cells if group is None else cells_of_group
    rows = JobRows(client)
    parts = wanted.parts(is_brief=not as_json)
    part = await anext(parts, None)  # an unknown group is refused before anything is printed
    with listing("jobs", columns, row, as_json=as_json) as shown:
        while part is not None:
            jobs, cursor = part
            shown.show([job_json(job) for job in jobs] if as_json else await rows.listed(jobs), cursor)
            part = await anext(parts, None)
    wanted.tell()


class _Wanted:
    """What a command asks for."""

    def __init__(
        self,
        client: Client,
        group: str | None,
        statuses: tuple[Status, ...],
        created_after: str,
        n: int,
        cursor: str,
        filters: list[tuple[str, str | int]],
        *,
        every: bool,
        newest: bool | None,
    ) -> None:
        if group is None and cursor:
            raise click.UsageError("--cursor needs a group.")
        self._client = client
        self._group = group
        self._statuses = statuses
        self._n = n
        self._cursor = cursor
        self._filters = filters
        self._is_newest_first = group is None if newest is None else newest
        self._parameters = [("created_after", created_after), *filters]
        self._parameters += [("order", "desc" if self._is_newest_first else "asc")]
        self._looked = 0, 0
        self._has_more = False
        self._is_narrowed = bool(filters or statuses or created_after)
        self._is_cut = False
        self._n_found = 0
        self.every = every

    async def parts(self, *, is_brief: bool) -> AsyncIterator[tuple[list[Job], str]]:
        """The jobs, part by part, each with the cursor after it."""
        brief: list[tuple[str, str | int]] = [("brief", 1)] if is_brief else []
        if self._group is None:
            async for jobs in self._of_all([*self._parameters, *brief]):
                self._n_found += len(jobs)
                yield jobs, ""
            return
        async for page in self._of_group(self._group, [*self._parameters, *brief]):
            self._n_found += len(page.jobs)
            self._is_cut = bool(page.cursor)
            yield page.jobs, page.cursor or ""

    async def table(self) -> "Table":
        """The jobs as a table for a terminal."""
        jobs = [job async for part, _ in self.parts(is_brief=True) for job in part]
        columns = COLUMNS if self._group is None else without_group(COLUMNS)
        table = FittedTable(columns, cells if self._group is None else cells_of_group)
        return table.fitted(await JobRows(self._client).listed(jobs), terminal().width)

    def tell(self) -> None:
        """Say on stderr what the list does not have."""
        looked, of = self._looked
        if not self._n_found and self._is_narrowed:
            click.echo("No job matches so far." if self._has_more or self._is_cut else "No job matches.", err=True)
        if self._filters and of:
            click.echo(f"{looked:,} of {counted(of, 'job')} were read.", err=True)
        if self._has_more:
            click.echo("There are more: --all, a greater -n, or a group.", err=True)

    async def _of_group(self, group: str, parameters: list[tuple[str, str | int]]) -> AsyncIterator[JobsWrapper]:
        statuses = [("status", status) for status in dict.fromkeys(self._statuses)]
        wanted = [("n", MAX_JOBS if self.every else self._n), *parameters, *statuses]
        cursor: str | None = self._cursor
        looked, is_first = 0, True
        while cursor is not None:
            page = await self._client.look(group, [*wanted, ("cursor", cursor)])
            if is_first and not page.jobs and not page.cursor:
                await self._client.group(group)  # raises NotFound for an unknown group
            is_first = False
            looked += page.looked or 0
            self._looked = looked, page.of or 0
            yield page
            cursor = (page.cursor or None) if self.every else None

    async def _of_all(self, parameters: list[tuple[str, str | int]]) -> AsyncIterator[list[Job]]:
        groups = AllGroups(self._client, self._statuses, newest_first=self._is_newest_first)
        await groups.open([("n", MAX_JOBS if self.every else self._n), *parameters])
        async for jobs in groups.jobs(None if self.every else self._n):
            yield jobs
        self._looked = groups.looked
        self._has_more = groups.has_more
