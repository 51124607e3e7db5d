"""`titan job wait`: waits until jobs are finished, by polling with growing intervals."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import click

from broker.cli.client_options import REFUSED, TIMED_OUT, group_argument, ids_argument, option, with_broker
from broker.cli.commands import TitanCommand
from broker.cli.options import example
from broker.cli.output import listing
from broker.cli.quantities import Duration
from broker.cli.safe_text import line
from broker.cli.streams import end_with_reader
from broker.core.errors import NotFound
from broker.core.states import FINISHED
from broker.models.jobs import Job
from worker.client import Client
from worker.daemon.backoff import PASSING

_FIRST_PAUSE_S = 0.1
_LAST_PAUSE_S = 5.0


@example("titan job wait mail 0hYjB6dJb7Pq2Xk9 --timeout 10m && echo done")
@click.command(
    epilog="Exit codes: 0 all succeeded; 1 the last attempt of a job failed, or it was cancelled or does not exist; "
    "2 wrong usage; 3 the broker cannot be reached; 124 the timeout ended; 130 Ctrl-C; 141 the reader is gone.",
    cls=TitanCommand,
    short_help="Wait until jobs are finished.",
)
@group_argument
@ids_argument
@option("--timeout", "timeout_s", type=Duration(is_whole=False), help="Maximum time to wait; the default is no limit.")
@option(
    "--follow-retries/--no-follow-retries",
    default=True,
    show_default=True,
    help="Whether to wait for the retry of a job that failed, in place of that job.",
)
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
    """Wait until jobs are finished, and print each one when it finishes.

    A failed job that has a retry is not finished: the command waits for its last attempt, and exits by that.
    If the broker or the store becomes unavailable after the first answer, it keeps waiting.
    """
    waiting = dict.fromkeys(job_ids)
    code = 0
    with listing("jobs", (), _row, as_json=as_json) as shown:
        try:
            finished = _finished(client, group, waiting, follow_retries=follow_retries)
            async with end_with_reader(), asyncio.timeout(timeout_s), aclosing(finished) as jobs:
                async for job in jobs:
                    if job is not None:
                        shown.show([job])
                    if job is None or job.status != "succeeded":
                        code = REFUSED
        except TimeoutError:
            click.echo(f"The timeout ended; not finished: {line(' '.join(waiting))}", err=True)
            code = TIMED_OUT
    return code


async def _finished(
    client: Client, group: str, waiting: dict[str, None], *, follow_retries: bool
) -> AsyncGenerator[Job | None, None]:
    """Each job when it finishes, which is removed from `waiting`; None for a job that does not exist."""
    pause_s = _FIRST_PAUSE_S
    has_answered = is_away = False
    while waiting:
        try:
            for job_id in tuple(waiting):
                job = await _found(client, group, job_id)
                has_answered, is_away = True, False
                if job is None or job.status in FINISHED:
                    del waiting[job_id]
                    if follow_retries and job and job.status == "failed" and job.retry_at:
                        _tell_retry(job)
                        waiting[job.retry_at] = None
                    else:
                        yield job
        except PASSING as error:
            if not has_answered:
                raise
            if not is_away:
                click.echo(f"{line(error.message)} Still waiting.", err=True)
            is_away = True
        await asyncio.sleep(pause_s if waiting else 0)
        pause_s = min(pause_s * 1.5, _LAST_PAUSE_S)


async def _found(client: Client, group: str, job_id: str) -> Job | None:
    try:
        return await client.show(group, job_id)
    except NotFound as error:
        click.echo(line(f"{job_id}: {error.message}"), err=True)
        return None


def _tell_retry(job: Job) -> None:
    reason = f", {job.reason}" if job.reason else ""
    click.echo(line(f"{job.id} failed{reason}; waiting for its retry {job.retry_at}"), err=True)


def _row(job: Job) -> tuple[object, ...]:
    return job.id, job.status, job.reason or ""
