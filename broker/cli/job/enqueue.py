"""`titan job enqueue`: one job from options, or many from NDJSON."""

from typing import Any, BinaryIO

import click

from broker.cli.client_options import Refused, Unreachable, given, group_argument, option, with_broker
from broker.cli.job.ndjson import LineCall, read_calls
from broker.cli.options import example
from broker.cli.output import Listing, is_terminal, listing, progress
from broker.core.errors import Invalid, TitanError
from broker.core.words import counted
from broker.models.jobs import DEFAULT_RETRIES_DELAY_S, DEFAULT_TIMEOUT_S, Job, NewJob
from worker.client import BrokerUnavailable, Client


@click.command(
    epilog=example(
        "titan job enqueue mail --image hello --payload 'to: ann'",
        "pg_dump shop | titan job enqueue backup --image store --payload-file - --max-retries 3",
        "titan job enqueue mail --ndjson jobs.ndjson --key import-7 --quiet",
    )
)
@group_argument
@option("--image", help="What runs the job; the group's image when not given.")
@option("--payload", help="What the job works on: any text.")
@option("--payload-file", type=click.File("rb"), help="Take the payload from this file; - is stdin.")
@option("--delay", type=int, metavar="S", help="Wait before the job is queued, in s.")
@option(
    "--timeout",
    type=int,
    metavar="S",
    show_default=f"{DEFAULT_TIMEOUT_S}",
    help="How long a consumer may hold it, in s.",
)
@option("--priority", type=int, help="0, 1 or 2; higher first.")
@option("--max-retries", type=int, help="How many new jobs failures may make.")
@option(
    "--retries-delay",
    type=int,
    metavar="S",
    show_default=f"{DEFAULT_RETRIES_DELAY_S}",
    help="Wait before an automatic retry, in s.",
)
@option(
    "--ndjson",
    type=click.File("rb"),
    help="Many jobs: a file (- is stdin) with one JSON object a line, fields as in the API.",
)
@option("--key", default="", help="Idempotency-Key: for 24 h, the same command again enqueues nothing twice.")
@option("-q", "--quiet", is_flag=True, help="Print no ids.")
@with_broker
async def enqueue(
    client: Client, group: str, key: str, ndjson: BinaryIO | None, *, quiet: bool, as_json: bool, **options: Any
) -> None:
    """Enqueue one job, or many with --ndjson, and print ids and statuses.

    With --ndjson, up to 1,000 jobs go in one call, and each call is carried out whole or not at all. The other options
    are then defaults for lines that do not say. A file with a line that is not valid is refused before anything is
    sent; from a pipe, the calls before that line are sent. With --key, call N has the key KEY-N, so that the same
    file may be sent again after a failure.
    """
    job = _new_job(**options)
    with listing("jobs", (), _row, as_json=as_json) as shown:
        if ndjson is None:
            jobs = await client.enqueue(group, [job], key)
            shown.show([] if quiet else jobs)
        elif job.payload is not None:
            raise click.UsageError("With --ndjson, the payloads come from its lines.")
        else:
            await _Bulk(client, group, key, None if quiet else shown).send(ndjson, job)


class _Bulk:
    """A file of jobs on its way."""

    def __init__(self, client: Client, group: str, key: str, shown: Listing | None) -> None:
        self._client = client
        self._group = group
        self._key = key
        self._shown = shown
        self._jobs = 0
        self._line = 0

    async def send(self, file: BinaryIO, defaults: NewJob) -> None:
        """Send all of it. Raises Refused, with the line and with what is already done."""
        is_bar_clear = self._shown is None or not is_terminal()
        try:
            with progress(_size_bytes(file, defaults), "Enqueueing", is_wanted=is_bar_clear) as bar:
                for call in read_calls(file, defaults):
                    await self._send(call)
                    bar.update(call.size_bytes)
        except Invalid as error:
            raise Refused(self._told(error.fields, error)) from error
        click.echo(f"{counted(self._jobs, 'job')} enqueued.", err=True)

    async def _send(self, call: LineCall) -> None:
        key = f"{self._key}-{call.number}" if self._key else ""
        try:
            jobs = await self._client.enqueue(self._group, call.jobs, key)
        except BrokerUnavailable as error:
            if not self._line:
                raise
            raise Unreachable(self._told(call.place(error), error)) from error
        except TitanError as error:
            raise Refused(self._told(call.place(error), error)) from error
        self._jobs += len(jobs)
        self._line = call.lines[-1].number
        if self._shown:
            self._shown.show(jobs)

    def _told(self, place: str, error: TitanError) -> str:
        done = f"Everything up to line {self._line} is enqueued." if self._line else "Nothing is enqueued before that."
        again = " The same command may be run again." if self._key else ""
        return f"{place}: {error.message.rstrip('.')}. {done}{again}"


def _new_job(payload_file: BinaryIO | None, **options: Any) -> NewJob:
    if payload_file is None:
        return given(NewJob, options)
    if options["payload"] is not None:
        raise click.UsageError("--payload and --payload-file do not go together.")
    try:
        return given(NewJob, options | {"payload": payload_file.read().decode()})
    except UnicodeDecodeError as error:
        raise Refused(f"The payload is not UTF-8 text: byte {error.start} does not fit.") from error


def _size_bytes(file: BinaryIO, defaults: NewJob) -> int | None:
    """The size of what will be sent, all of it found valid; None for a pipe, which can be read only once."""
    if not file.seekable():
        return None
    start = file.tell()
    size_bytes = sum(call.size_bytes for call in read_calls(file, defaults))
    file.seek(start)
    return size_bytes


def _row(job: Job) -> tuple[object, ...]:
    return (f"{job.id} {job.status}",)
