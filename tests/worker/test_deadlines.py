"""Jobs that must end by a time: their worker stops them then, whoever fails them first, and no retry runs."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from broker.core.timestamps import milliseconds
from broker.reaper.reaper import Reaper
from tests.worker.conftest import Front, Work, enqueue, read_log
from worker.client import Client
from worker.jobs.outcome import Failed

ENDLESS = "endless=sh -c 'echo begun; exec sleep 60'"


@pytest.fixture
async def reaper(front: Front) -> AsyncIterator[None]:
    """The broker's reaper runs."""
    broker = front.broker
    running = asyncio.create_task(Reaper(broker.store, broker.logs, broker.notifier).run())
    yield
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What a person would be called for."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("lease_s", [1, 30])
async def test_job_that_the_broker_fails_first(
    client: Client, work: Work, reaper: None, caplog: pytest.LogCaptureFixture, lease_s: int
) -> None:
    """The worker stops the job at its time, with a short lease and a long one, and complains of nothing."""
    (job,) = await enqueue(client, "endless", timeout=600, end_within=2, max_retries=3, retries_delay=0)
    worker = work(ENDLESS, lease_s=lease_s, kill_after_s=0.1)
    (ended,) = await worker.until("ended", job)
    assert ended.outcome == Failed("timeout", f"did not end before {job.end_before}")
    async with asyncio.timeout(5):
        while not (shown := await client.show("g", job.id)).completed_at or not worker.count("logged"):
            await asyncio.sleep(0.05)
    assert (shown.status, shown.reason, shown.retry_at or "") == ("failed", "timeout", "")
    assert milliseconds(str(shown.completed_at)) >= milliseconds(str(shown.end_before))
    assert await read_log(client, job) == b"begun\n"
    assert worker.count("refused") == 0
    assert warnings(caplog) == []
    assert worker.count("started") == 1


async def test_job_that_the_worker_reports_first(client: Client, work: Work, caplog: pytest.LogCaptureFixture) -> None:
    """Without a reaper that is in time, the report of the worker says what happened, and has the receipt."""
    (job,) = await enqueue(client, "endless", timeout=600, end_within=1, max_retries=3, retries_delay=0)
    worker = work(ENDLESS, lease_s=30, kill_after_s=0.1)
    await worker.until("reported", job)
    await worker.until("logged", job)
    shown = await client.show("g", job.id)
    assert (shown.reason, shown.error) == ("timeout", f"did not end before {job.end_before}")
    assert not shown.retry_at
    [receipt] = shown.receipts or []
    assert (receipt.outcome, receipt.run_ms >= 900) == ("failed", True)
    assert warnings(caplog) == []


async def test_job_that_ends_in_time(client: Client, work: Work, reaper: None) -> None:
    """A job that ends before its time succeeds as any other."""
    (job,) = await enqueue(client, "quick", end_within=60, start_within=60)
    worker = work("quick=echo done", lease_s=1)
    await worker.until("reported", job)
    assert (await client.show("g", job.id)).status == "succeeded"
