"""A worker with several brokers, and one whose broker is away for too long."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from broker.core.errors import StoreUnavailable
from tests.conftest import eventually
from tests.worker.conftest import Front, Work, enqueue
from tests.worker.programs import Start
from tests.worker.watching import is_dead, written
from titan.errors import BrokerUnavailable
from worker.client import Client

GONE = "http://127.0.0.1:9"


@pytest.fixture
async def second(front: Front) -> AsyncIterator[Front]:
    """Another broker of the same store."""
    second = Front(front.broker)
    await second.start()
    yield second
    await second.stop()


async def test_a_call_after_a_failure_goes_to_the_next_broker(front: Front, second: Front) -> None:
    """A call is sent once; the one after a failure goes to the next address, and stays there."""
    async with Client([front.url, second.url], timeout_s=2) as client:
        await client.groups()
        await front.stop()
        with pytest.raises(BrokerUnavailable):
            await client.groups()
        await client.groups()
        await front.start()
        await second.stop()
        with pytest.raises(BrokerUnavailable):
            await client.groups()
        await client.groups()


async def test_calls_that_fail_together_turn_once(second: Front) -> None:
    """Many calls that fail at once turn to the next broker, not past it."""
    async with Client([GONE, second.url], timeout_s=2) as client:
        failed = await asyncio.gather(*(client.groups() for _ in range(4)), return_exceptions=True)
        assert all(isinstance(error, BrokerUnavailable) for error in failed)
        await client.groups()


async def test_a_broker_without_its_store_is_left(front: Front, second: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that cannot reach the store is as good as gone: the next one may."""
    async with Client([front.url, second.url], timeout_s=2) as client:
        with monkeypatch.context() as patch:

            async def is_away(*_: object) -> None:
                raise StoreUnavailable

            patch.setattr(front.broker.store.groups, "list", is_away)
            with pytest.raises(StoreUnavailable):
                await client.groups()
        await front.stop()
        await client.groups()


async def test_a_worker_goes_on_at_another_broker(client: Client, front: Front, second: Front, work: Work) -> None:
    """When the broker that it asked goes away, a worker takes, keeps and reports jobs at the next one."""
    hold, quick = await enqueue(client, "wait", "wait")
    worker = work("wait=sleep 0.5", "quick=true", broker_url=(front.url, second.url), concurrency=1, lease_s=1)
    await worker.until("started", hold)
    await front.stop()
    await worker.until("reported", hold, quick)
    await front.start()
    assert [(await client.show("g", job.id)).status for job in (hold, quick)] == ["succeeded", "succeeded"]


async def test_a_job_is_given_up_when_its_lease_must_be_lost(
    client: Client, front: Front, work: Work, tmp_path: Path
) -> None:
    """A lost broker costs nothing until the lease has ended by the worker's clock; then the job is killed."""
    (job,) = await enqueue(client, "hang")
    worker = work(f"hang=sh -c 'echo $$ >{tmp_path}/pid; exec sleep 60'", lease_s=2)
    pid = int(await written(tmp_path / "pid"))
    await front.stop()
    stopped_at = time.monotonic()
    await worker.until("dropped", job)
    assert time.monotonic() - stopped_at > 0.9
    await eventually(lambda: is_dead(pid))
    assert worker.count("reported") == 0
    await front.start()


APP = """
import time
from worker import job

@job
async def busy(payload: str) -> None:
    time.sleep(2.5)
"""


async def test_leases_are_kept_while_a_handler_blocks_the_loop(client: Client, start: Start, tmp_path: Path) -> None:
    """A handler that blocks the worker's own loop does not cost it its lease."""
    (tmp_path / "blocking_app.py").write_text(APP)
    (job,) = await enqueue(client, "busy")
    program = await start("--app", "blocking_app", "--lease-s", "1", PYTHONPATH=f"{tmp_path}:.")
    ends: set[object] = set()

    async def ended() -> bool:
        shown = await client.show("g", job.id)
        ends.add(shown.expires_at)
        return shown.status == "succeeded"

    async with asyncio.timeout(20):
        while not await ended():
            await asyncio.sleep(0.1)
    assert len(ends) > 4
    program.signal(signal.SIGTERM)
    assert await program.end() == 0
