"""Jobs that do not end at their timeout: their worker stops and reports them before the broker retries them."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from broker.core.settings import BrokerSettings
from broker.models.groups import GroupSettings
from broker.reaper.reaper import Reaper
from tests.worker.conftest import Front, Work, enqueue
from worker.client import Client
from worker.jobs.outcome import Failed

STUBBORN = """#!/bin/sh
# the first delivery ignores TERM; another one notes whether the first is still there
trap '' TERM
if [ -e first ]; then kill -0 $(cat first) 2> gone && touch beside; exit 0; fi
echo $$ > first
while :; do sleep 0.05; done
"""


@pytest.fixture(params=[15.0])
def settings(request: pytest.FixtureRequest) -> BrokerSettings:
    """A broker's settings with this stop_grace_s."""
    return BrokerSettings(key_prefix=f"test-{secrets.token_hex(6)}", store_timeout_s=5, stop_grace_s=request.param)


@pytest.fixture(autouse=True)
async def reaper(front: Front) -> AsyncIterator[None]:
    """The broker's reaper runs."""
    broker = front.broker
    running = asyncio.create_task(Reaper(broker.store, broker.logs, broker.notifier).run())
    yield
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


@pytest.fixture
def stubborn(tmp_path: Path) -> str:
    """A command that only KILL ends, when it is delivered first."""
    (tmp_path / "stubborn").write_text(STUBBORN)
    return f"stubborn=env -C {tmp_path} sh stubborn"


@pytest.mark.parametrize("lease_s", [1, 30])
async def test_a_retry_does_not_run_beside_the_job(
    client: Client, work: Work, tmp_path: Path, stubborn: str, lease_s: int
) -> None:
    """A command that takes its time to stop is reported when it is gone; the retry runs only then."""
    await client.configure("g", GroupSettings(max_concurrency=1))
    (job,) = await enqueue(client, "stubborn", timeout=1, max_retries=1, retries_delay=0)
    worker = work(stubborn, lease_s=lease_s, kill_after_s=2.5)
    await worker.until("reported", job)
    shown = await client.show("g", job.id)
    assert (shown.status, shown.reason, shown.error) == ("failed", "timeout", "ran longer than its timeout of 1 s")
    [receipt] = shown.receipts or []
    assert receipt.signal == "SIGKILL" or receipt.run_ms >= 3000
    retry = await client.show("g", str(shown.retry_at))
    await worker.until("reported", retry)
    assert not (tmp_path / "beside").exists()
    assert worker.count("refused") == 0


@pytest.mark.parametrize("settings", [2.5], indirect=True)
async def test_a_stop_that_takes_too_long(
    client: Client, work: Work, stubborn: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker that would wait longer than the broker kills the job sooner, so that its report is still taken."""
    (job,) = await enqueue(client, "stubborn", timeout=1, max_retries=1, retries_delay=0)
    worker = work(stubborn, lease_s=30, kill_after_s=600.0)
    (event,) = await worker.until("reported", job)
    assert event.outcome == Failed("timeout", "ran longer than its timeout of 1 s")
    shown = await client.show("g", job.id)
    assert (shown.reason, shown.error) == ("timeout", "ran longer than its timeout of 1 s")
    await worker.until("reported", await client.show("g", str(shown.retry_at)))
    assert not (tmp_path / "beside").exists()
    assert "jobs are killed 1 s after their timeouts" in caplog.text
