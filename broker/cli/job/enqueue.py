"""`titan job enqueue`: enqueues one job from options, or many from an NDJSON file."""

from typing import Any, BinaryIO, get_args

import click
from click.core import ParameterSource

from broker.cli.client_options import Refused, Unreachable, from_options, group_argument, option, with_broker
from broker.cli.commands import TitanCommand
from broker.cli.job.ndjson import LineCall, read_calls
from broker.cli.moments import due_at, due_text, wide_option
from broker.cli.options import example
from broker.cli.output import Listing, is_terminal, listing, progress
from broker.cli.policies import RETRY_HELP, RetryPolicy
from broker.cli.quantities import Duration, FutureMoment, duration_of
from broker.cli.unique_options import unique_options, with_unique
from broker.core.errors import Invalid, TitanError
from broker.core.words import counted
from broker.http.request.job_times import PAIRS
from broker.models.fields import Delay, EndWithin, RetriesDelay, StartWithin, Timeout
from broker.models.jobs import DEFAULT_RETRIES_DELAY_S, DEFAULT_TIMEOUT_S, AfterOn, Job, NewJob
from titan.errors import BrokerUnavailable
from titan.tracing import trace_of
from worker.client import Client


def _trace_parent(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Raise BadParameter for an invalid traceparent that was typed. That of the environment is ignored, as W3C says."""
    if not value or trace_of(value):
        return value
    if context.get_parameter_source(str(parameter.name)) is ParameterSource.ENVIRONMENT:
        return None
    raise click.BadParameter(
        f"{value!r} is no traceparent: version, trace, span and flags in hexadecimal lower case letters, such as "
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01."
    )


class _EnqueueCommand(TitanCommand):
    """`titan job enqueue`. An argument too many is the image or the payload, so the error says how these are given."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments. Raises UsageError."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            if "extra argument" not in error.message:
                raise
            text = f"{error.message}. The image is given with --image, and the payload with --payload."
            raise click.UsageError(text, ctx) from error


@example(
    "titan job enqueue mail --image hello --payload 'to: ann'",
    "pg_dump shop | titan job enqueue backup --image store --payload-file - --max-retries 3",
    "titan job enqueue report --image nightly --run-at 'tomorrow 09:00' --timeout 2h",
    "titan job enqueue code --image otp --start-within 2m --end-within 5m",
    "titan job enqueue mail --image hello --run-at '2027-01-05 08:00' --start-before '2027-01-05 12:00'",
    "titan job enqueue sync --image fetch --retry max=8,delay=5s,cap=15m,except=bad_input+auth_*",
    "titan job enqueue docs --image publish --after 0hYjB6dJb7Pq2Xk9 --after 0hYjB6dJb7Pq2XkA --after-on over",
    "titan job enqueue search --image index --payload 'doc 7' --unique doc-7 --on-conflict follow",
    "titan job enqueue render --image clip --job-key acme",
    "titan job enqueue search --image index --delay 5 --unique doc-7 --on-conflict push --max-wait 1m",
    "titan job enqueue mail --ndjson jobs.ndjson --key import-7 --quiet",
)
@click.command(cls=_EnqueueCommand, short_help="Enqueue one job, or many with --ndjson.")
@group_argument
@option("--image", help="Name of the program that runs the job; the default is the image of the group.")
@option("--payload", help="Input of the job: any text.")
@option("--payload-file", type=click.File("rb"), help="Read the payload from this file; - is stdin.")
@option("--delay", type=duration_of(Delay), help="Delay before the job is queued, such as 90s, 10m, 2h or 1d.")
@option(
    "--run-at",
    "--at",
    "run_at",
    type=FutureMoment(),
    help="When the job is queued: 'tomorrow 09:00', 2026-12-01T09:00+01:00. A day without a time is its 00:00.",
)
@option(
    "--start-within",
    type=duration_of(StartWithin),
    help="Fail the job, reason expired, if no consumer takes it in this time from now.",
)
@option("--start-before", type=FutureMoment(), help="The same as a time.")
@option(
    "--end-within",
    type=duration_of(EndWithin),
    help="Fail the job, reason timeout, if it is not finished in this time from now. It has no retry after that.",
)
@option("--end-before", type=FutureMoment(), help="The same as a time.")
@option(
    "--timeout",
    type=duration_of(Timeout),
    help=f"How long a consumer may hold the job; the default is {DEFAULT_TIMEOUT_S}s.",
)
@option("--priority", type=int, help="0, 1 or 2; jobs with a higher priority are first.")
@option("--max-retries", type=int, help="Maximum number of automatic retries after failures.")
@option(
    "--retries-delay",
    type=duration_of(RetriesDelay),
    help=f"Delay before an automatic retry; the default is {DEFAULT_RETRIES_DELAY_S}s.",
)
@option("--retry", type=RetryPolicy(), help=RETRY_HELP)
@option(
    "--after", "after", multiple=True, metavar="ID", help="A job that it waits for. Repeat the option for more of them."
)
@option(
    "--after-on",
    type=click.Choice(get_args(get_args(AfterOn)[0])),
    help="Which end of these jobs is enough; the default is succeeded.",
)
@unique_options
@option("--job-key", help="What the job belongs to, such as a tenant: the group limits how many of a key run at once.")
@option(
    "--traceparent",
    envvar="TRACEPARENT",
    allow_from_autoenv=False,
    callback=_trace_parent,
    help="The trace that it belongs to, as in W3C's header; the default is TRACEPARENT, which a command of a job has.",
)
@option("--tracestate", envvar="TRACESTATE", allow_from_autoenv=False, help="What belongs to it.")
@option(
    "--ndjson",
    type=click.File("rb"),
    help="Enqueue many jobs: a file (- is stdin) with one JSON object per line, with the fields of the API.",
)
@option("--key", default="", help="Idempotency-Key: for 24 h, a repeat of the same command enqueues nothing.")
@option(
    "--wait",
    "wait_s",
    default=0,
    type=Duration(0, 30),
    help="Wait for the end of the one job, up to 30s, and print the job as it is then.",
)
@option("-q", "--quiet", is_flag=True, help="Print no ids.")
@wide_option
@with_broker
async def enqueue(
    client: Client,
    group: str,
    key: str,
    ndjson: BinaryIO | None,
    wait_s: int,
    *,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Enqueue one job, or many with --ndjson, and print ids and statuses.

    With --ndjson, each call has up to 1,000 jobs, and the broker enqueues all jobs of a call or none. The other options
    are defaults for lines without that field. If a line is invalid, a file is refused before any call; from a pipe,
    the calls before that line are already sent. With --key, call N has the key KEY-N, so you can run the same command
    again after a failure.
    """
    job = _new_job(**options)
    with listing("jobs", (), _row, as_json=as_json) as shown:
        if ndjson is None:
            jobs = await client.enqueue(group, [job], key, wait_s=wait_s)
            shown.show([] if quiet else jobs)
        elif wait_s:
            raise click.UsageError("--wait is for one job; `titan job wait` waits for several.")
        elif job.payload is not None:
            raise click.UsageError("With --ndjson, the payloads come from its lines.")
        else:
            await _Bulk(client, group, key, None if quiet else shown).send(ndjson, job)


class _Bulk:
    """Sends a file of jobs in calls."""

    def __init__(self, client: Client, group: str, key: str, shown: Listing | None) -> None:
        self._client = client
        self._group = group
        self._key = key
        self._shown = shown
        self._jobs = 0
        self._line = 0

    async def send(self, file: BinaryIO, defaults: NewJob) -> None:
        """Send all calls. Raises Refused, with the line of the fault and the number of the last enqueued line."""
        is_bar_clear = self._shown is None or not is_terminal()
        try:
            with progress(_size_bytes(file, defaults), "Enqueueing", is_wanted=is_bar_clear) as bar:
                for call in read_calls(file, defaults):
                    await self._send(call)
                    bar.update(call.size_bytes)
        except Invalid as error:
            raise Refused(self._error_text(error.fields, error)) from error
        click.echo(f"{counted(self._jobs, 'job')} enqueued.", err=True)

    async def _send(self, call: LineCall) -> None:
        key = f"{self._key}-{call.number}" if self._key else ""
        try:
            jobs = await self._client.enqueue(self._group, call.jobs, key)
        except BrokerUnavailable as error:
            if not self._line:
                raise
            raise Unreachable(self._error_text(call.place(error), error)) from error
        except TitanError as error:
            raise Refused(self._error_text(call.place(error), error)) from error
        self._jobs += len(jobs)
        self._line = call.lines[-1].number
        if self._shown:
            self._shown.show(jobs)

    def _error_text(self, place: str, error: TitanError) -> str:
        done = f"Everything up to line {self._line} is enqueued." if self._line else "Nothing is enqueued."
        again = " You can run the same command again." if self._key else ""
        return f"{place}: {error.message.rstrip('.')}. {done}{again}"


def _new_job(payload_file: BinaryIO | None, **options: Any) -> NewJob:
    for names in PAIRS:
        if all(options[name] is not None for name in names):
            words = " and ".join(f"--{name.replace('_', '-')}" for name in reversed(names))
            raise click.UsageError(f"{words} do not go together.")
    options = with_unique(options)
    options["key"] = options.pop("job_key")
    options["after"] = list(options["after"]) or None
    if options["after_on"] and not options["after"]:
        raise click.UsageError("--after-on is for a job with --after.")
    if payload_file is None:
        return from_options(NewJob, options)
    if options["payload"] is not None:
        raise click.UsageError("--payload and --payload-file do not go together.")
    try:
        return from_options(NewJob, options | {"payload": payload_file.read().decode()})
    except UnicodeDecodeError as error:
        raise Refused(f"The payload is not UTF-8 text: byte {error.start} is invalid.") from error


def _size_bytes(file: BinaryIO, defaults: NewJob) -> int | None:
    """Check all lines and return the size to send, in bytes; None for a pipe, which can be read only once."""
    if not file.seekable():
        return None
    start = file.tell()
    size_bytes = sum(call.size_bytes for call in read_calls(file, defaults))
    file.seek(start)
    return size_bytes


def _row(job: Job) -> tuple[object, ...]:
    due = f" {due_text(due_at(job))}" if job.status == "delayed" and not job.waits_for else ""
    return (f"{job.id} {job.status}{due}{', duplicate' if job.duplicate is True else ''}",)
