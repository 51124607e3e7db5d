"""The story of a job for people: its fields, why it waits, its attempts and its runs."""

from collections.abc import Sequence
from typing import NamedTuple

import click

from broker.cli.job.attempts import MAX_ATTEMPTS, AttemptChain
from broker.cli.job.page import job_page
from broker.cli.job.rows import took
from broker.cli.moments import age, compact, is_wide
from broker.cli.safe_text import line
from broker.cli.table import STATUS_STYLES, Column, table_for
from broker.core.errors import TitanError
from broker.core.states import FINISHED
from broker.models.jobs import Job
from broker.models.workers import Receipt
from worker.client import Client

_ATTEMPTS = (
    Column(""),
    Column("attempt"),
    Column("id"),
    Column("status", styles=STATUS_STYLES),
    Column("when", drop=2),
    Column("took", drop=3),
    Column("reason", drop=1, can_cut=True),
)
_RUNS = (
    Column("run"),
    Column("outcome", styles=STATUS_STYLES),
    Column("worker", can_cut=True),
    Column("exit", drop=1),
    Column("took", drop=2),
    Column("waited", drop=5),
    Column("cpu", drop=3),
    Column("memory", drop=4),
    Column("log", drop=6),
)
_KIB = 1024


class Attempt(NamedTuple):
    """One job of a chain: its number, of how many, and whether it is the one that is shown."""

    job: Job
    number: str
    is_shown: bool


async def tell_story(client: Client, job: Job, *, is_full: bool) -> None:
    """Print what became of a job."""
    click.echo(job_page(job, is_full=is_full))
    if job.status not in FINISHED:
        await _tell_why(client, job)
    if job.retry_of or job.retry_at:
        attempts = await _attempts(client, job)
        _table("Attempts", _ATTEMPTS, _attempt_cells, attempts)
    if job.receipts:
        _table("Runs", _RUNS, _run_cells, job.receipts)


async def _tell_why(client: Client, job: Job) -> None:
    try:
        explanation = await client.why(job.group_name, job.id)
    except TitanError:  # an older broker, or the job is deleted by now; the page stands
        return
    click.echo(f"\n{line(explanation.verdict)}")
    for reason in explanation.reasons[1:]:
        click.echo(f"- {line(reason.text)}")


async def _attempts(client: Client, job: Job) -> list[Attempt]:
    chain = AttemptChain(client, 2 * MAX_ATTEMPTS)
    jobs = [*await chain.before(job), job, *await chain.after(job)]
    return [Attempt(each, await chain.text(each), each is job) for each in jobs]


def _table(title: str, columns: Sequence[Column], row: object, items: Sequence[object]) -> None:
    click.echo(f"\n{title}")
    table_for(columns, row).show(items)  # type: ignore[arg-type]


def _attempt_cells(attempt: Attempt) -> tuple[object, ...]:
    job = attempt.job
    at = job.created_at if is_wide() else f"{age(job.created_at)} ago"
    mark = ">" if attempt.is_shown else ""
    return mark, attempt.number, job.id, job.status, at, took(job), job.reason or ""


def _run_cells(receipt: Receipt) -> tuple[object, ...]:
    how = receipt.signal or ("" if receipt.exit_code is None else receipt.exit_code)
    cpu = "" if receipt.cpu_ms is None else compact(receipt.cpu_ms / 1000)
    memory = "" if receipt.max_rss_bytes is None else size_text(receipt.max_rss_bytes)
    times = compact(receipt.run_ms / 1000), compact(receipt.wait_ms / 1000)
    return receipt.delivery, receipt.outcome, receipt.worker, how, *times, cpu, memory, size_text(receipt.log_bytes)


def size_text(size_bytes: int) -> str:
    """A number of bytes in its largest unit: `512B`, `1.5MiB`."""
    size, units = float(size_bytes), ["B", "KiB", "MiB", "GiB", "TiB"]
    while size >= _KIB and len(units) > 1:
        size /= _KIB
        units.pop(0)
    return f"{size:.0f}{units[0]}" if size >= 10 or size == int(size) else f"{size:.1f}{units[0]}"
