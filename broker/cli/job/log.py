"""`titan job log`: prints or stores a job's log. The log is never in memory as a whole, except with --json."""

import asyncio
import shutil
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

import click

from broker.cli.client_options import group_argument, id_argument, option, with_broker
from broker.cli.commands import TitanCommand
from broker.cli.job.page import ending
from broker.cli.options import example
from broker.cli.output import is_terminal, show_json
from broker.cli.safe_text import TerminalText, line
from broker.cli.streams import end_with_reader
from broker.core.errors import NotFound, TitanError
from broker.core.states import FINISHED
from broker.models.jobs import Job, JobWrapper
from titan.errors import BrokerSilent, BrokerUnavailable
from worker.client import Client
from worker.daemon.backoff import PASSING, Backoff

_CHUNK_BYTES = 256 * 1024
_PATIENCE_S = 2.0
"""How long a follower waits for a job to run before it says why it does not, in s."""
_MIN_INTERVAL_S = 1.0
"""Least time between two requests of a follower whose responses break off, in s."""


@example(
    "titan job log mail 0hYjB6dJb7Pq2Xk9 --tail 20",
    "titan job log mail 0hYjB6dJb7Pq2Xk9 -f",
    "titan job log mail 0hYjB6dJb7Pq2Xk9 -o job.log",
    "make 2>&1 | titan job log mail 0hYjB6dJb7Pq2Xk9 --send -",
)
@click.command(cls=TitanCommand)
@group_argument
@id_argument
@option("--tail", type=click.IntRange(min=1), metavar="N", help="Print only the last N lines.")
@option("-f", "--follow", is_flag=True, help="Continue until the job is finished and its log is complete.")
@option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write the unchanged log to this file.")
@option("--send", type=click.File("rb"), help="Store this file (- is stdin) as the job's log. Replaces an older log.")
@with_broker
async def log(
    client: Client,
    group: str,
    job_id: str,
    tail: int | None,
    output: Path | None,
    send: BinaryIO | None,
    *,
    follow: bool,
    as_json: bool,
) -> None:
    """Print the log of a job, or store one.

    On a terminal, colours and control characters are removed. A pipe or a file gets the unchanged bytes. With --follow,
    stderr says why the job does not run yet, and later how it ended.
    """
    if send is not None:
        if tail is not None or output is not None or follow:
            raise click.UsageError("--send cannot be used with --tail, --output or --follow.")
        with _seekable(send) as file:
            job = await client.log(group, job_id, _chunks(file))
        if as_json:
            show_json(JobWrapper(job))
        return
    async with aclosing((followed if follow else stored)(client, group, job_id, tail)) as chunks:
        if output is not None:
            await _store(chunks, output)
        elif as_json:
            show_json({"log": b"".join([chunk async for chunk in chunks]).decode(errors="replace")})
        elif follow:
            waiting = asyncio.create_task(_tell_waiting(client, group, job_id))
            try:
                async with end_with_reader():
                    await _print(chunks)
            finally:
                waiting.cancel()
            await _tell_end(client, group, job_id)
        else:
            await _print(chunks)


async def _tell_waiting(client: Client, group: str, job_id: str) -> None:
    """Say why a job has no log after a while."""
    await asyncio.sleep(_PATIENCE_S)
    with suppress(TitanError):  # the log itself is what was asked for
        if (await client.show(group, job_id)).status in {"delayed", "queued"}:
            click.echo(f"Waiting: {line((await client.why(group, job_id)).verdict)}", err=True)


async def _tell_end(client: Client, group: str, job_id: str) -> None:
    """Say how the job ended."""
    with suppress(TitanError):
        click.echo(line(ending(await client.show(group, job_id))), err=True)


async def stored(client: Client, group: str, job_id: str, tail: int | None = None) -> AsyncGenerator[bytes, None]:
    """The log as it is stored now; empty for a job without a log.

    A reader may pause, for example in a pager, for longer than the broker waits. Then the log is requested again from
    the position where it broke off.
    """
    position = 0
    while True:
        start = position
        try:
            async with aclosing(client.read_log(group, job_id, tail=tail, start=position)) as chunks:
                async for chunk in chunks:
                    position += len(chunk)
                    yield chunk
        except NotFound:
            click.echo(_why_no_log(await client.show(group, job_id)), err=True)  # NotFound for an unknown job
        except BrokerSilent as error:
            if tail is not None or position == start:
                raise BrokerUnavailable("The log broke off before its end; the broker may be gone.") from error
            continue
        return


def _why_no_log(job: Job) -> str:
    """Why a job has no log. A worker stores the log of a job apart from its report, so it may come a little later."""
    if job.status not in FINISHED:
        return f"The job has no log yet: it is {job.status}."
    if job.receipts and job.receipts[-1].log_bytes:
        return "The log is not stored yet, although the job is finished: try again in a moment."
    return "The job has no log."


async def followed(client: Client, group: str, job_id: str, tail: int | None = None) -> AsyncGenerator[bytes, None]:
    """A log while it grows, until its job is finished and the log is complete. Continues at the next broker.

    A job may print nothing for hours, so a pause is no error. Only a broker that does not answer the next request
    counts as unavailable.
    """
    position, backoff, has_started = 0, Backoff("log"), False
    while True:
        asked_at = time.monotonic()
        try:
            is_last = (await client.show(group, job_id)).status in FINISHED
            async with client.follow_log(group, job_id, tail=tail, start=position) as (start, chunks):
                position, tail, has_started = start, None, True
                backoff.succeeded()
                async for chunk in chunks:
                    position += len(chunk)
                    yield chunk
        except BrokerSilent:
            await asyncio.sleep(max(0.0, asked_at + _MIN_INTERVAL_S - time.monotonic()))
        except PASSING as error:
            if not has_started:
                raise
            await asyncio.sleep(backoff.failed(error))
        else:
            if is_last:
                return


@contextmanager
def _seekable(file: BinaryIO) -> Iterator[BinaryIO]:
    """The file itself, or a complete copy of a pipe. A program may pause for longer than the broker waits for bytes."""
    if file.seekable():
        yield file
        return
    with TemporaryFile() as copy:
        shutil.copyfileobj(file, copy, _CHUNK_BYTES)
        copy.seek(0)
        yield copy


async def _chunks(file: BinaryIO) -> AsyncIterator[bytes]:
    for chunk in iter(partial(file.read, _CHUNK_BYTES), b""):
        yield chunk


async def _store(chunks: AsyncIterator[bytes], output: Path) -> None:
    with _replacing(output) as file:
        async for chunk in chunks:
            file.write(chunk)


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file that replaces the old one when it is complete; after an error the old file remains."""
    if path.exists() and not path.is_file():  # a device or a pipe
        with path.open("wb") as file:
            yield file
        return
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


async def _print(chunks: AsyncIterator[bytes]) -> None:
    if not is_terminal():
        async for chunk in chunks:
            click.echo(chunk, nl=False)
        return
    safe = TerminalText()
    async for chunk in chunks:
        click.echo(safe.feed(chunk), nl=False)
    click.echo(safe.feed(b"", last=True), nl=False)
