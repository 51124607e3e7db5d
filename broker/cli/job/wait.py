"""`titan job wait`: until jobs are finished, by asking again and again, more and more seldom."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import click

from broker.cli.client_options import REFUSED, TIMED_OUT, group_argument, ids_argument, option, with_broker
from broker.cli.options import example
from broker.cli.output import line, listing
from broker.cli.streams import while_read
from broker.core.errors import NotFound
from broker.core.states import FINISHED
from broker.models.jobs import Job
from worker.client import Client
from worker.daemon.backoff import PASSING

_FIRST_PAUSE_S = 0.1
_LAST_PAUSE_S = 5.0


@click.command(
    epilog=example("titan job wait mail 0hYjB6dJb7Pq2Xk9 --timeout 600 && echo done")
    + "\n\nExit codes: 0 all succeeded; 1 a job failed or was cancelled, or is not there; 2 wrong usage; "
    "3 the broker cannot be reached; 124 the time is over."
)
@group_argument
@ids_argument
@option("--timeout", "timeout_s", type=click.FloatRange(min=0), help="How long to wait, in s; for ever when not given.")
@option("--follow-retries", is_flag=True, help="Wait for a failed job's automatic retry in its place.")
@with_broker
async def wait(
    client: Client,
    group: str,
    job_ids: tuple[str, ...],
    timeout_s: float | None,
    *,
    follow_retries: bool,
    as_json: bool,
) -> int:
    """Wait until jobs are finished, and print each as it finishes.

    A broker or a store that goes away while waiting is waited for.
    """
    waiting = dict.fromkeys(job_ids)
    code = 0
    with listing("jobs", (), _row, as_json=as_json) as shown:
        try:
            finished = _finished(client, group, waiting, follow_retries=follow_retries)
            async with while_read(), asyncio.timeout(timeout_s), aclosing(finished) as jobs:
                async for job in jobs:
                    if job is not None:
                        shown.show([job])
                    if job is None or job.status != "succeeded":
                        code = REFUSED
        except TimeoutError:
            click.echo(f"The time is over; not finished: {line(' '.join(waiting))}", err=True)
            code = TIMED_OUT
    return code


async def _finished(
    client: Client, group: str, waiting: dict[str, None], *, follow_retries: bool
) -> AsyncGenerator[Job | None, None]:
    """Each job as it finishes, taken out of `waiting`; None for one that is not there."""
    pause_s = _FIRST_PAUSE_S
    is_known = is_away = False
    while waiting:
        try:
            for job_id in tuple(waiting):
                job = await _found(client, group, job_id)
                is_known, is_away = True, False
                if job is None or job.status in FINISHED:
                    del waiting[job_id]
                    if follow_retries and job and job.status == "failed" and job.retry_at:
                        waiting[job.retry_at] = None
                    else:
                        yield job
        except PASSING as error:
            if not is_known:
                raise
            if not is_away:
                click.echo(f"{line(error.message)} Waiting for it.", err=True)
            is_away = True
        await asyncio.sleep(pause_s if waiting else 0)
        pause_s = min(pause_s * 1.5, _LAST_PAUSE_S)


async def _found(client: Client, group: str, job_id: str) -> Job | None:
    try:
        return await client.show(group, job_id)
    except NotFound as error:
        click.echo(line(f"{job_id}: {error.message}"), err=True)
        return None


def _row(job: Job) -> tuple[object, ...]:
    return job.id, job.status, job.reason or ""
