"""The output of `titan up`: sample jobs, their status changes and logs, and commands to try."""

import asyncio
import shlex
import sys
import uuid
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

import click

from broker.cli.safe_text import TerminalText, line
from broker.core.errors import TitanError
from broker.core.states import STATUSES
from broker.core.words import counted
from broker.models.jobs import Job, NewJob
from broker.resp import keys
from worker.client import Client
from worker.daemon.backoff import resend
from worker.daemon.deliveries import Event
from worker.jobs.outcome import Failed, Outcome, Released, Succeeded

GROUP = "sample"
IMAGES = {
    "hello": "import sys; print('Hello, ' + sys.stdin.read() + '!')",
    "count": "import time\nfor i in range(1, 4): print(i, flush=True); time.sleep(0.3)",
    "fail": "import sys; sys.exit('This one fails on purpose.')",
}
"""The sample images. They are Python programs, because every machine with Titan has Python."""

JOBS = (
    NewJob(image="hello", payload="world", priority=2),
    NewJob(image="count", priority=2),
    NewJob(image="fail", priority=2),
)
LIMIT_S = 30.0
"""How long to wait for the sample jobs, in s; older jobs may be in the queue before them."""

_TRIES = 6
"""How often a call is sent while the store or a limit refuses it: for about 20 s."""
_LOG_LINES = 20
_DONE = frozenset({"reported", "refused", "dropped"})


def table(entries: Sequence[str], named: Collection[str]) -> tuple[str, ...]:
    """The entries of --run, and the sample images that are not among those that the worker has."""
    samples = (
        f"{name}={shlex.join([sys.executable, '-c', code])}" for name, code in IMAGES.items() if name not in named
    )
    return (*entries, *samples)


class Screen:
    """Prints a line for each event of the worker's jobs."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._waits: dict[str, set[str]] = {}
        self._is_done = asyncio.Event()

    def put(self, event: Event) -> None:
        """Queue an event of the worker."""
        self._events.put_nowait(event)

    async def follow(self) -> None:
        """Print the worker's events until cancelled."""
        while True:
            await self._show(await self._events.get())

    async def sample(self) -> Job | None:
        """Enqueue the sample jobs and wait for their reports and logs; the first job, or None if they are refused.

        The store of a busy machine may be slow at first. The key makes a repeat safe.
        """
        enqueue = partial(self._client.enqueue, GROUP, JOBS, uuid.uuid4().hex)
        try:
            jobs = await resend("enqueuing the sample jobs", enqueue, _TRIES)
        except TitanError as error:
            click.echo(f"There are no sample jobs: {line(error.message)}", err=True)
            return None
        self._waits = {job.id: {"reported", "logged"} for job in jobs}
        for job in jobs:
            _print_status(job, "queued")
        with suppress(TimeoutError):
            async with asyncio.timeout(LIMIT_S):
                await self._is_done.wait()
        return jobs[0]

    async def _show(self, event: Event) -> None:
        if event.kind == "started":
            _print_status(event.job, "running")
        elif event.kind == "logged" and event.job.group_name == GROUP:
            with suppress(TitanError):  # the job may be deleted already
                await self._show_log(event.job)
        elif event.kind in _DONE:
            status = _outcome_text(event.outcome) if event.kind == "reported" else "no longer leased by this worker"
            _print_status(event.job, status)
        self._note(event)

    async def _show_log(self, job: Job) -> None:
        text = TerminalText()
        pieces = [text.feed(piece) async for piece in self._client.read_log(job.group_name, job.id, tail=_LOG_LINES)]
        for row in "".join([*pieces, text.feed(b"", last=True)]).splitlines():
            click.echo(f"{'':10}{job.id}  | {row}")

    def _note(self, event: Event) -> None:
        waits = self._waits.get(event.job.id)
        if waits is None:
            return
        waits.discard("reported" if event.kind in _DONE else event.kind)
        if not waits:
            del self._waits[event.job.id]
        if not self._waits:
            self._is_done.set()


async def counts(client: Client) -> str:
    """The number of jobs by status, in words."""
    numbers = dict.fromkeys(STATUSES, 0)
    try:
        async for group_counts in _all_counts(client):
            for status in STATUSES:
                numbers[status] += group_counts[status]
    except TitanError:  # a broker that cannot count yet may still serve
        return "jobs that could not be counted"
    total = sum(numbers.values())
    by_status = ", ".join(f"{number} {status}" for status, number in numbers.items() if number)
    return f"{counted(total, 'job')}: {by_status}" if total else "no jobs yet"


def hints(url: str, redis_cli: str, partition: str, job: Job | None) -> list[str]:
    """Commands to try: three with curl, one with redis-cli."""
    jobs = f"{url}/v1/groups/{GROUP}/jobs"
    body = '\'{"jobs":[{"image":"hello","payload":"curl"}]}\''
    last = f"{jobs}/{job.id}/log" if job else f"{url}/v1/groups"
    read = (
        f"HGET '{keys.executions(partition)}' {job.id}" if job else f"ZRANGE '{keys.groups(partition)}' 0 -1 WITHSCORES"
    )
    return [
        f"curl -s -H 'Content-Type: application/json' -d {body} {jobs}",
        f"curl -s '{jobs}?order=desc&n=3'",
        f"curl -s {last}",
        f"{redis_cli} {read}",
    ]


async def _all_counts(client: Client) -> AsyncIterator[dict[str, int]]:
    cursor, is_more = "", True
    while is_more:
        groups, cursor = await resend("counting the jobs", partial(client.groups, 1000, cursor), _TRIES)
        for group in groups:
            yield {status: getattr(group.counts, status) for status in STATUSES}
        is_more = cursor != ""


def _outcome_text(outcome: Outcome | None) -> str:
    match outcome:
        case Succeeded():
            return "succeeded"
        case Failed(reason, error):
            return f"failed, {reason}: {error}"
        case Released():
            return "queued again"
        case _:
            return "no longer leased by this worker"


def _print_status(job: Job, status: str) -> None:
    click.echo(f"{datetime.now(UTC):%H:%M:%S}  {job.id}  {line(f'{job.group_name}/{job.image}'):<14}  {line(status)}")
