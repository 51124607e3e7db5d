"""`titan job tree`: a job and the jobs that it waits for, as a tree with their states."""

from collections.abc import Iterator, Mapping
from typing import Any

import click
import msgspec
from msgspec import UNSET

from broker.cli.client_options import group_argument, id_argument, with_broker
from broker.cli.commands import EXIT_CODES, TitanCommand
from broker.cli.moments import wide_option
from broker.cli.options import example
from broker.cli.output import show_json
from broker.cli.safe_text import line
from broker.core.words import counted
from broker.models.flow import MAX_FLOW_JOBS, FlowJob
from broker.models.jobs import Job
from worker.client import Client


@example("titan job tree docs 0hYjB6dJb7Pq2Xk9")
@click.command(cls=TitanCommand, epilog=EXIT_CODES)
@group_argument
@id_argument
@wide_option
@with_broker
async def tree(client: Client, group: str, job_id: str, *, as_json: bool) -> None:
    """Show a job and the jobs that it waits for, as a tree with their states.

    A job that several others wait for has its own tree once. The line of a job that was retried names its retry, and
    that of a retry the job that it repeats.
    """
    await show_tree(client, group, job_id, as_json=as_json)


async def show_tree(client: Client, group: str, job_id: str, *, as_json: bool) -> None:
    """Print the tree of a job, or its flow as JSON. A job that was deleted is shown by its id."""
    flow = await client.flow(group, job_id, MAX_FLOW_JOBS)
    if as_json:
        show_json({"jobs": [_job_json(job) for job in flow.jobs], "more": flow.more})
        return
    for depth, text in _lines(job_id, {job.id: job for job in flow.jobs}, set(), 0):
        click.echo("  " * depth + line(text))


def _lines(job_id: str, found: Mapping[str, FlowJob], shown: set[str], depth: int) -> Iterator[tuple[int, str]]:
    job = found.get(job_id)
    if job is None or job.status is UNSET:
        yield depth, f"{job_id} deleted" if job else f"{job_id} …"
        return
    is_again = job_id in shown and bool(job.parents)
    state = ", ".join([_state(job.status, job.needs, job.reason), *_retries(job)])
    yield depth, f"{job_id} {job.image} {state}{' (see above)' if is_again else ''}"
    if is_again:
        return
    shown.add(job_id)
    for parent_id in job.parents:
        yield from _lines(parent_id, found, shown, depth + 1)


def _job_json(job: FlowJob) -> dict[str, Any]:
    """The API's fields, and `retried_by` with the id of its retry, as `job show --json` has it."""
    fields: dict[str, Any] = msgspec.to_builtins(job)
    return fields | ({"retried_by": job.retry_at} if job.retry_at else {})


def _retries(job: FlowJob) -> Iterator[str]:
    if job.retry_of:
        yield f"repeats {job.retry_of}"
    if job.retry_at:
        yield f"retried as {job.retry_at}"


def state_of(job: Job) -> str:
    """The status of a job, and what it waits for or why it failed."""
    if job.duplicate:
        return f"{job.status}, it existed already"
    return _state(job.status, job.waits_for.jobs if job.waits_for and job.waits_for.jobs else 0, job.reason or "")


def _state(status: str, needs: int, reason: str) -> str:
    if needs:
        return f"{status}, after {counted(needs, 'job')}"
    return f"{status}, {reason}" if reason else status
