"""The rows of `titan job list`: jobs with what a list does not have, their attempts and workers."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from broker.cli.job.attempts import AttemptChain
from broker.cli.moments import age, compact, due_at, is_wide, seconds_between, seconds_since, until
from broker.cli.table import STATUS_STYLES, Column
from broker.core.errors import TitanError
from broker.core.states import FINISHED
from broker.core.timestamps import milliseconds
from broker.core.words import counted
from broker.models.fields import MAX_JOBS
from broker.models.jobs import Job
from worker.client import Client

COLUMNS = (
    Column("id"),
    Column("group", can_cut=True),
    Column("status", styles=STATUS_STYLES),
    Column("image", drop=3, can_cut=True),
    Column("attempt", drop=5),
    Column("when", drop=2),
    Column("deadline", drop=3),
    Column("took", drop=4),
    Column("worker", drop=7, can_cut=True),
    Column("reason", drop=1, can_cut=True),
    Column("payload", drop=6, can_cut=True, most=60),
)
_LOOKUPS = 100
"""How many jobs are looked up for a list at most; the others have no worker, and fewer attempts."""
_AT_ONCE = 8


class ListedJob(NamedTuple):
    """A job, which attempt it is, and the worker that runs it or ran it last."""

    job: Job
    attempt: str
    worker: str


class JobRows:
    """Looks up what rows need in addition to their jobs."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._left = _LOOKUPS
        self._running: dict[str, str] | None = None
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def listed(self, jobs: Sequence[Job]) -> list[ListedJob]:
        """The rows of jobs."""
        attempts = AttemptChain(self._client, self._left, jobs)
        if any(job.status == "running" for job in jobs) and self._running is None:
            self._running = await self._workers()
        workers = await asyncio.gather(*map(self._worker, jobs))
        rows = [ListedJob(job, await attempts.text(job), worker) for job, worker in zip(jobs, workers, strict=True)]
        self._left = min(self._left, attempts.left)
        return rows

    async def _worker(self, job: Job) -> str:
        if job.status == "running":
            return (self._running or {}).get(job.id, "")
        if job.status not in FINISHED or not job.deliveries or self._left <= 0:
            return ""
        self._left -= 1
        async with self._slots:
            try:
                found = await self._client.show(job.group_name, job.id)
            except TitanError:  # it is deleted by now
                return ""
        return found.receipts[-1].worker if found.receipts else ""

    async def _workers(self) -> dict[str, str]:
        """The names of workers by the ids of the jobs that they run."""
        found: dict[str, str] = {}
        cursor, is_going = "", True
        while is_going:
            try:
                workers, cursor = await self._client.workers(MAX_JOBS, cursor)
            except TitanError:  # the list is good without them
                break
            found |= {job_id: worker.name for worker in workers for job_id in worker.running}
            is_going = cursor != ""
        return found


def without_group(columns: Sequence[Column]) -> list[Column]:
    """The columns for the jobs of one group."""
    return [column for column in columns if column.name != "group"]


def cells(row: ListedJob) -> tuple[object, ...]:
    """The cells of a row, for COLUMNS."""
    job = row.job
    first = (job.id, job.group_name, job.status, job.image, row.attempt)
    times = (_moment(job), deadline(job), took(job))
    return (*first, *times, row.worker, job.reason or "", job.payload or "")


def cells_of_group(row: ListedJob) -> tuple[object, ...]:
    """The cells of a row, without the group."""
    job_id, _, *rest = cells(row)
    return job_id, *rest


def took(job: Job) -> str:
    """How long a job ran, or has run until now; '' for a job that did not."""
    if not job.started_at or job.status not in {"running", *FINISHED}:
        return ""
    if job.completed_at:
        return compact(max(0.0, seconds_between(job.started_at, job.completed_at)))
    return compact(int(seconds_since(job.started_at)))


def deadline(job: Job) -> str:
    """The next deadline of a job that is not finished: `start in 2min` or `end in 5min`; '' for one without."""
    has_started = job.status == "running" or job.deliveries > 0
    times = {"start": "" if has_started else job.start_before, "end": job.end_before}
    given = [(milliseconds(at), verb, at) for verb, at in times.items() if at]
    if job.status in FINISHED or not given:
        return ""
    _, verb, at = min(given)
    return f"{verb} {at}" if is_wide() else f"{verb} in {until(max(0.0, -seconds_since(at)))}"


def _moment(job: Job) -> str:
    """When a delayed job is due, or since when another exists. A list does not say when a job is tried again."""
    if job.waits_for:
        waits = job.waits_for
        return f"after {counted(waits.jobs, 'job')}" if waits.jobs else f"for a place of {waits.key}"
    is_delayed = job.status == "delayed" and not job.attempts
    at = due_at(job) if is_delayed else job.created_at
    if is_wide():
        return at
    seconds = -seconds_since(at)
    return f"in {until(seconds)}" if is_delayed and seconds > 0 else f"{age(at)} ago"
