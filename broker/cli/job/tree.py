"""`titan job tree`: a job and the jobs that it waits for, as a tree with their states."""

from collections.abc import Iterator, Mapping

import click

from broker.cli.client_options import group_argument, id_argument, with_broker
from broker.cli.commands import EXIT_CODES, TitanCommand
from broker.cli.moments import wide_option
from broker.cli.options import example
from broker.cli.output import show_json
from broker.cli.safe_text import line
from broker.core.errors import NotFound
from broker.core.words import counted
from broker.models.jobs import Job, JobsWrapper
from worker.client import Client

MOST_JOBS = 1000
"""Jobs that a tree has at most."""


@example("titan job tree docs 0hYjB6dJb7Pq2Xk9")
@click.command(cls=TitanCommand, epilog=EXIT_CODES)
@group_argument
@id_argument
@wide_option
@with_broker
async def tree(client: Client, group: str, job_id: str, *, as_json: bool) -> None:
    """Show a job and the jobs that it waits for, as a tree with their states.

    A job that several others wait for has its own tree once.
    """
    await show_tree(client, group, job_id, as_json=as_json)


async def show_tree(client: Client, group: str, job_id: str, *, as_json: bool) -> None:
    """Print the tree of a job, or its jobs as JSON. A job that was deleted is shown by its id."""
    first = await client.show(group, job_id)
    found: dict[str, Job] = {first.id: first}
    open_ids = list(first.after or [])
    while open_ids and len(found) < MOST_JOBS:
        parent_id = open_ids.pop()
        if parent_id in found:
            continue
        try:
            found[parent_id] = await client.find(parent_id)
        except NotFound:
            continue
        open_ids += found[parent_id].after or []
    if as_json:
        show_json(JobsWrapper(list(found.values())))
        return
    for depth, text in _lines(first.id, found, set(), 0):
        click.echo("  " * depth + line(text))


def _lines(job_id: str, found: Mapping[str, Job], shown: set[str], depth: int) -> Iterator[tuple[int, str]]:
    job = found.get(job_id)
    if job is None:
        yield depth, f"{job_id} deleted"
        return
    is_again = job_id in shown and bool(job.after)
    yield depth, f"{job_id} {job.image} {state_of(job)}{' (see above)' if is_again else ''}"
    if is_again:
        return
    shown.add(job_id)
    for parent_id in job.after or []:
        yield from _lines(parent_id, found, shown, depth + 1)


def state_of(job: Job) -> str:
    """The status of a job, and what it waits for or why it failed."""
    if job.duplicate:
        return f"{job.status}, it existed already"
    if job.waits_for:
        return f"{job.status}, after {counted(job.waits_for.jobs, 'job')}"
    return f"{job.status}, {job.reason}" if job.reason else job.status
