"""`titan job log`: a job's log, down and up, never whole in memory (but for --json)."""

import asyncio
import shutil
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

import click

from broker.cli.client_options import group_argument, id_argument, option, with_broker
from broker.cli.options import example
from broker.cli.output import TerminalText, is_terminal, show_json
from broker.cli.streams import while_read
from broker.core.errors import NotFound
from broker.core.states import FINISHED
from broker.models.jobs import JobWrapper
from worker.client import BrokerSilent, BrokerUnavailable, Client
from worker.daemon.backoff import PASSING, Backoff

_PIECE_BYTES = 256 * 1024
_LEAST_S = 1.0
"""How often a follower asks again at most, in s, when its answers are broken off."""


@click.command(
    epilog=example(
        "titan job log mail 0hYjB6dJb7Pq2Xk9 --tail 20",
        "titan job log mail 0hYjB6dJb7Pq2Xk9 -f",
        "titan job log mail 0hYjB6dJb7Pq2Xk9 -o job.log",
        "make 2>&1 | titan job log mail 0hYjB6dJb7Pq2Xk9 --send -",
    )
)
@group_argument
@id_argument
@option("--tail", type=click.IntRange(min=1), metavar="N", help="Only the last N lines.")
@option("-f", "--follow", is_flag=True, help="Go on with what comes, until the job is finished and its log whole.")
@option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file, as it was sent.")
@option(
    "--send", type=click.File("rb"), help="Store this file (- for stdin) as the job's log, in place of an older one."
)
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

    On a terminal, colours and control characters are left out. A pipe or a file gets every byte as it was sent.
    """
    if send is not None:
        if tail is not None or output is not None or follow:
            raise click.UsageError("--send goes with none of --tail, --output and --follow.")
        with _sent_whole(send) as whole:
            job = await client.log(group, job_id, _pieces(whole))
        if as_json:
            show_json(JobWrapper(job))
        return
    async with aclosing((followed if follow else stored)(client, group, job_id, tail)) as pieces:
        if output is not None:
            await _store(pieces, output)
        elif as_json:
            show_json({"log": b"".join([piece async for piece in pieces]).decode(errors="replace")})
        elif follow:
            async with while_read():
                await _print(pieces)
        else:
            await _print(pieces)


async def stored(client: Client, group: str, job_id: str, tail: int | None = None) -> AsyncGenerator[bytes, None]:
    """The log as far as it is there; nothing of a job that has none.

    Whoever reads it may pause, in a pager, for longer than a broker waits for them: it goes on where it was broken off.
    """
    at = 0
    while True:
        begun_at = at
        try:
            async with aclosing(client.read_log(group, job_id, tail=tail, start=at)) as pieces:
                async for piece in pieces:
                    at += len(piece)
                    yield piece
        except NotFound:
            await client.show(group, job_id)  # raises NotFound when there is no such job
        except BrokerSilent as error:
            if tail is not None or at == begun_at:
                raise BrokerUnavailable("The log was broken off on its way; the broker may be gone.") from error
            continue
        return


async def followed(client: Client, group: str, job_id: str, tail: int | None = None) -> AsyncGenerator[bytes, None]:
    """A log as it grows, until its job is finished and its log whole; from a broker that goes away to the next.

    A job may print nothing for hours. A pause is no fault, and only a broker that does not answer when it is asked
    again is said to be away.
    """
    at, backoff, is_begun = 0, Backoff("log"), False
    while True:
        began = time.monotonic()
        try:
            is_last = (await client.show(group, job_id)).status in FINISHED
            async with client.follow_log(group, job_id, tail=tail, start=at) as (start, pieces):
                at, tail, is_begun = start, None, True
                backoff.succeeded()
                async for piece in pieces:
                    at += len(piece)
                    yield piece
        except BrokerSilent:
            await asyncio.sleep(max(0.0, began + _LEAST_S - time.monotonic()))
        except PASSING as error:
            if not is_begun:
                raise
            await asyncio.sleep(backoff.failed(error))
        else:
            if is_last:
                return


@contextmanager
def _sent_whole(file: BinaryIO) -> Iterator[BinaryIO]:
    """The file itself; of a pipe, all that comes out of it: a program that says nothing for long is no slow client."""
    if file.seekable():
        yield file
        return
    with TemporaryFile() as whole:
        shutil.copyfileobj(file, whole, _PIECE_BYTES)
        whole.seek(0)
        yield whole


async def _pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    for piece in iter(partial(file.read, _PIECE_BYTES), b""):
        yield piece


async def _store(pieces: AsyncIterator[bytes], output: Path) -> None:
    with _whole(output) as file:
        async for piece in pieces:
            file.write(piece)


@contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of an old one once all is written; after an error the old one stays."""
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


async def _print(pieces: AsyncIterator[bytes]) -> None:
    if not is_terminal():
        async for piece in pieces:
            click.echo(piece, nl=False)
        return
    safe = TerminalText()
    async for piece in pieces:
        click.echo(safe.feed(piece), nl=False)
    click.echo(safe.feed(b"", last=True), nl=False)
