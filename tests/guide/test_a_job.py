"""The life of a job, told from the start. Read this first."""

import asyncio
from collections.abc import Callable

import pytest
from msgspec import UNSET

from broker.core.errors import LeaseLost, NotFound, WrongState
from broker.models.jobs import NewJob
from broker.reaper.reaper import Reaper
from broker.resp.notifier import Notifier
from tests.conftest import eventually
from worker.client import Client

Later = Callable[[float], None]


async def test_a_plain_life(client: Client) -> None:
    """A producer enqueues a job, a consumer takes it, runs it and says that it succeeded."""
    [made] = await client.enqueue("mail", [NewJob(image="send", payload="to: ann")])
    assert made.status == "queued"

    [job] = await client.next()
    assert (job.id, job.status, job.payload, job.deliveries) == (made.id, "running", "to: ann", 1)

    done = await client.succeed("mail", job.id, job.lease)
    assert done.status == "succeeded"
    assert await client.next() == []


async def test_a_consumer_waits_for_a_job(client: Client, notifier: Notifier) -> None:
    """A long poll on an empty queue answers as soon as a job is there."""
    polling = asyncio.create_task(client.next(wait_s=10))
    await eventually(lambda: notifier.is_awaited)
    [made] = await client.enqueue("mail", [NewJob(image="send")])
    assert [job.id for job in await asyncio.wait_for(polling, 1)] == [made.id]


async def test_a_consumer_vanishes(client: Client, reaper: Reaper, later: Later) -> None:
    """Nobody touches or finishes the job, so another consumer gets it when its lease ends; a late report is refused."""
    [made] = await client.enqueue("mail", [NewJob(image="send", timeout=30)])
    [lost] = await client.next()

    later(30)
    assert (await reaper.reap_once()).requeued == 1
    [job] = await client.next()
    assert (job.id, job.deliveries) == (made.id, 2)

    with pytest.raises(LeaseLost):
        await client.succeed("mail", job.id, lost.lease)
    assert (await client.succeed("mail", job.id, job.lease)).status == "succeeded"


async def test_a_long_job_is_touched(client: Client, reaper: Reaper, later: Later) -> None:
    """A consumer that needs longer touches the job, and each touch gives it another timeout."""
    await client.enqueue("mail", [NewJob(image="send", timeout=30)])
    [job] = await client.next()

    for _ in range(5):
        later(29)
        assert await client.touch("mail", job.id, job.lease) > job.expires_at
        assert (await reaper.reap_once()).requeued == 0

    assert (await client.succeed("mail", job.id, job.lease)).status == "succeeded"


async def test_a_job_fails_and_is_retried(client: Client, reaper: Reaper, later: Later) -> None:
    """A failure with retries left makes a new job, which waits for retries_delay; the old one stays as it is."""
    await client.enqueue("mail", [NewJob(image="send", payload="to: bob", max_retries=1, retries_delay=10)])
    [job] = await client.next()
    failed = await client.fail("mail", job.id, job.lease, reason="no_such_host", error="bob's server is away")
    assert (failed.status, failed.reason) == ("failed", "no_such_host")

    assert await client.next() == []
    later(10)
    assert (await reaper.reap_once()).queued == 1

    [again] = await client.next()
    assert (again.id, again.retry_of, again.payload, again.max_retries) == (failed.retry_at, job.id, "to: bob", 0)
    last = await client.fail("mail", again.id, again.lease)
    assert last.retry_at is UNSET


async def test_a_job_that_nobody_survives(client: Client, reaper: Reaper, later: Later) -> None:
    """A job whose consumers all vanish is failed at the delivery limit, reason timeout."""
    [made] = await client.enqueue("mail", [NewJob(image="crash", timeout=30)])
    for _ in range(5):
        assert len(await client.next()) == 1
        later(30)
        await reaper.reap_once()
    job = await client.show("mail", made.id)
    assert (job.status, job.reason, job.deliveries) == ("failed", "timeout", 5)


async def test_a_job_is_given_back(client: Client) -> None:
    """A consumer that cannot run the job releases it: it is first again, and the delivery is not counted."""
    first, _ = await client.enqueue("mail", [NewJob(image="send"), NewJob(image="send")])
    [job] = await client.next()
    released = await client.release("mail", job.id, job.lease)
    assert (released.status, released.deliveries) == ("queued", 0)
    assert [job.id for job in await client.next()] == [first.id]


async def test_a_job_is_cancelled(client: Client) -> None:
    """A cancelled job's consumer learns it at its next touch."""
    await client.enqueue("mail", [NewJob(image="send")])
    [job] = await client.next()
    assert (await client.cancel("mail", job.id)).reason == "client_request"
    with pytest.raises(WrongState, match="cancelled"):
        await client.touch("mail", job.id, job.lease)


async def test_a_job_and_its_log(client: Client) -> None:
    """A log goes up while the job runs or after it, comes down, and goes with the job."""
    await client.enqueue("mail", [NewJob(image="send")])
    [job] = await client.next()
    await client.succeed("mail", job.id, job.lease)
    await client.log("mail", job.id, b"sent\nto ann\n")
    assert [piece async for piece in client.read_log("mail", job.id, tail=1)] == [b"to ann\n"]
    await client.remove("mail", job.id)
    with pytest.raises(NotFound):
        await client.show("mail", job.id)
