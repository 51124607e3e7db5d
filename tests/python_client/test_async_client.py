"""The asynchronous Python client: the same verbs against a real broker, and what is its own."""

import asyncio
import inspect
import logging
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.python_client.conftest import LIBRARY
from tests.python_client.test_attempts import BREAK, FINISHED, JOB, OK, Server, answer, keys, refused, server
from titan import AsyncClient, Client, Conflict, NewJob, NotFound, TooLarge, WrongState
from titan.async_consuming import AsyncConsumer, AsyncDelivery
from titan.consuming import Consumer, Delivery
from titan.errors import BrokerUnavailable, BrokerUnreachable

__all__ = ["server"]

pytestmark = pytest.mark.slow


@pytest.fixture
async def aclient(broker: str) -> AsyncIterator[AsyncClient]:
    """A client of the broker."""
    async with AsyncClient(broker) as client:
        yield client


@pytest.mark.parametrize(
    ("plain", "other"), [(Client, AsyncClient), (Delivery, AsyncDelivery), (Consumer, AsyncConsumer)]
)
def test_both_forms_have_the_same_methods(plain: type, other: type) -> None:
    """Each public method of one form is in the other, with the same arguments."""

    def signatures(kind: type) -> dict[str, list[str]]:
        methods = {name.replace("aclose", "close"): getattr(kind, name) for name in dir(kind) if name[0] != "_"}
        return {name: list(inspect.signature(m).parameters) for name, m in methods.items() if callable(m)}

    assert signatures(plain) == signatures(other)


async def test_the_life_of_jobs(aclient: AsyncClient, group: str) -> None:
    """Enqueue, list, consume, wait for a retry, log, cancel, retry, promote, delete."""
    job = await aclient.enqueue(group, image="send", payload=[1], max_retries=1, retries_delay=0)
    made = await aclient.enqueue_many(group, (NewJob("send", n, delay=timedelta(hours=1)) for n in range(3)))
    assert [listed.id async for listed in aclient.list(group, page_size=2)] == [job.id, *(one.id for one in made)]
    assert [one async for one in aclient.list(group, created_after=datetime.now(UTC) + timedelta(days=1))] == []
    async with aclient.consume(group) as jobs:
        async for delivery in jobs:
            async with delivery as taken:
                print(1 // len(taken.retry_of))  # the first attempt fails
                await delivery.write_log("two\n")
            if taken.retry_of:
                jobs.stop()
    done = await aclient.wait(group, job.id, timeout_s=30)
    assert (done.status, done.retry_of, await aclient.log(group, done.id)) == ("succeeded", job.id, "two\n")
    first = await aclient.get(group, job.id)
    assert (first.reason, first.error[:18]) == ("exception", "ZeroDivisionError:")
    assert (await aclient.cancel(group, made[0].id)).status == "cancelled"
    assert (await aclient.retry(group, made[0].id)).retry_of == made[0].id
    assert (await aclient.promote(group, made[1].id)).status == "queued"
    with pytest.raises(Conflict):
        await aclient.delete(group, made[1].id)
    await aclient.delete(group, made[0].id)
    with pytest.raises(NotFound):
        await aclient.get(group, made[0].id)
    with pytest.raises(TimeoutError):
        await aclient.wait(group, made[1].id, timeout_s=0.1)
    with pytest.raises(WrongState):
        await aclient.retry(group, made[1].id)


async def test_a_result(aclient: AsyncClient, group: str) -> None:
    """What a job made is shown with it; one that is too large is refused, and the job is still held."""
    job = await aclient.enqueue(group, image="send")
    async with aclient.consume(group) as jobs, (delivery := await anext(jobs)):
        with pytest.raises(TooLarge):
            await delivery.succeed("x" * 16_383)
        assert delivery.is_held
        await delivery.succeed({"pages": 3})
    assert (await aclient.get(group, job.id)).result == {"pages": 3}


async def test_enqueue_and_wait(aclient: AsyncClient, group: str) -> None:
    """One call enqueues a job and answers with it when it is finished."""
    waiting = asyncio.create_task(aclient.enqueue_and_wait(group, image="send", timeout_s=30))
    async with aclient.consume(group) as jobs, (delivery := await anext(jobs)):
        await delivery.progress(40, "half")
        await delivery.succeed({"pages": 3})
    done = await waiting
    assert (done.id, done.result, done.progress, done.note) == (delivery.job.id, {"pages": 3}, 40, "half")


async def test_the_lease_is_renewed_by_a_task(aclient: AsyncClient, group: str) -> None:
    """A job that runs longer than its lease is delivered once; one that is cancelled is no longer held."""
    jobs = await aclient.enqueue_many(group, [NewJob("send")] * 2)
    async with aclient.consume(group, lease_s=1) as deliveries:
        async with await anext(deliveries):
            await asyncio.sleep(2.5)
        delivery = await anext(deliveries)
        async with delivery, asyncio.timeout(20):
            await aclient.cancel(group, delivery.job.id)
            while delivery.is_held:
                await asyncio.sleep(0.05)
    ended = [await aclient.get(group, job.id) for job in jobs]
    assert [(job.status, job.deliveries) for job in ended] == [("succeeded", 1), ("cancelled", 1)]


async def test_enqueue_with_times(aclient: AsyncClient, group: str) -> None:
    """The coroutine takes the same times as the method of Client."""
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=100)
    job = await aclient.enqueue(group, image="send", run_at=at, start_before=at, end_before=at)
    assert (job.status, job.start_before, job.end_before) == ("delayed", at, at)
    spans = await aclient.enqueue(group, image="send", start_within=5, end_within=timedelta(minutes=1))
    assert spans.start_before == spans.created_at + timedelta(seconds=5)
    assert spans.end_before == spans.created_at + timedelta(minutes=1)


async def test_a_cancelled_task_releases_its_jobs(aclient: AsyncClient, group: str) -> None:
    """The job of the block and those that were taken with it are queued again; no task is left."""
    made = await aclient.enqueue_many(group, [NewJob("send")] * 3)
    begun = asyncio.Event()

    async def consume() -> None:
        async with aclient.consume(group, n=3) as jobs:
            async for delivery in jobs:
                async with delivery:
                    begun.set()
                    await asyncio.sleep(60)

    task = asyncio.create_task(consume())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [(job.id, job.status) async for job in aclient.list(group)] == [(job.id, "queued") for job in made]


async def test_stop_ends_a_long_poll(aclient: AsyncClient, group: str) -> None:
    """The loop ends at once; a task that waits for jobs may also be cancelled."""
    async with aclient.consume(group, wait_s=30) as jobs:
        asyncio.get_running_loop().call_later(0.3, jobs.stop)
        start = time.monotonic()
        assert [delivery async for delivery in jobs] == []
        assert time.monotonic() - start < 10
    async with aclient.consume(group, wait_s=30) as jobs:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(jobs), 0.3)


async def test_it_repeats_what_is_safe(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """Enqueue with its key, delete as done, retry never, and next as a new call."""
    server.answers = [BREAK, refused(503, "store_unavailable"), answer(201, OK)]
    async with AsyncClient(server.url) as client:
        assert (await client.enqueue("g", image="i")).id == JOB["id"]
        assert len(keys(server)) == 1
        server.answers = [BREAK, refused(404, "not_found"), BREAK]
        await client.delete("g", "0" * 16)
        with pytest.raises(BrokerUnavailable, match="not known"):
            await client.retry("g", "0" * 16)
        server.answers = [BREAK, answer(200, OK), answer(200, OK)]
        with caplog.at_level(logging.WARNING, "titan"):
            async with client.consume("g") as jobs, await anext(jobs) as job:
                assert job.id == JOB["id"]
        assert "no jobs are taken" in caplog.text
    assert server.answers == []


async def test_a_log_that_is_on_its_way(server: Server) -> None:
    """The log of a job that has just finished is waited for."""
    server.answers = [refused(404, "not_found"), answer(200, FINISHED), answer(200, "one\n")]
    async with AsyncClient(server.url) as client:
        assert await client.log("g", JOB["id"]) == "one\n"
    assert server.answers == []


async def test_an_unreachable_broker(unused_tcp_port: int) -> None:
    """Nothing was sent, and the message names the argument."""
    async with AsyncClient(f"http://127.0.0.1:{unused_tcp_port}", retries=0) as client:
        with pytest.raises(BrokerUnreachable, match=r"or correct url\.$"):
            await client.retry("g", "0" * 16)


def test_without_aiohttp() -> None:
    """The rest works without it, and the error says what to install."""
    code = (
        f"import sys; sys.path.insert(0, {str(LIBRARY)!r}); sys.modules['aiohttp'] = None\n"
        "import titan\nassert titan.Client\ntry: titan.AsyncClient\nexcept ImportError as error: print(error)"
    )
    ran = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout == "titan.AsyncClient needs the package aiohttp: pip install 'aiohttp>=3.12'\n"
