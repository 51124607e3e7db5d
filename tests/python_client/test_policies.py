"""Retry policies by the Python client: enqueue with one, and say how a job failed."""

from datetime import timedelta

import pytest

from titan import AsyncClient, Client, Fail, Retry

pytestmark = pytest.mark.slow
POLICY = {"max": 8, "delay": 3600, "jitter": 0, "except": ["bad_input"]}


def test_a_job_with_a_policy(client: Client, group: str) -> None:
    """The policy is sent as it is; the job shows it, how often it failed and when for good."""
    job = client.enqueue(group, image="send", retry=POLICY)
    assert {name: job.retry[name] for name in POLICY} == POLICY
    with client.consume(group) as jobs:
        next(jobs).fail("busy", retry_after=timedelta(seconds=0.5))
        waiting = client.get(group, job.id)
        assert (waiting.status, waiting.attempts, waiting.reason) == ("delayed", 1, "busy")
        next(jobs).fail("busy", retry=False)
    dead = client.get(group, job.id)
    assert (dead.status, dead.attempts, dead.dead_at) == ("failed", 2, dead.completed_at)


def test_exceptions_say_how_a_job_failed(client: Client, group: str) -> None:
    """`Retry` names the wait and `Fail` the reason; neither is logged as an exception of the program."""
    job = client.enqueue_many(group, [{"image": "send", "retry": POLICY}])[0]
    with client.consume(group) as jobs:
        with next(jobs):
            raise Retry("the other side is away", after=0)
        waited = client.get(group, job.id)
        assert (waited.attempts, waited.reason, waited.error) == (1, "temporary", "the other side is away")
        with next(jobs):
            raise Fail("no_address", retry=False)
    dead = client.get(group, job.id)
    assert (dead.status, dead.reason) == ("failed", "no_address")


async def test_the_same_with_asyncio(broker: str, group: str) -> None:
    """`AsyncClient` does the same."""
    async with AsyncClient(broker) as other:
        job = await other.enqueue(group, image="send", retry=POLICY)
        async with other.consume(group) as jobs:
            async with await anext(jobs):
                raise Retry(after=0)
            async with await anext(jobs):
                raise Fail("bad_input")
        dead = await other.get(group, job.id)
    assert (dead.status, dead.attempts, dead.reason) == ("failed", 2, "bad_input")
