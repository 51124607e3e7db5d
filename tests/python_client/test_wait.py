"""A consumer of the Python client has its job wait for others."""

import pytest

from titan import AsyncClient, Client, WaitFor, WrongState

pytestmark = pytest.mark.slow


def test_a_job_waits_for_others(client: Client, group: str) -> None:
    """`WaitFor` gives the job back; it is delivered again after the others, and has how they ended."""
    job = client.enqueue(group, image="send")
    others = client.enqueue_many(f"{group}-others", [{"image": "x"}] * 2)
    with client.consume(group) as jobs:
        with next(jobs):
            raise WaitFor(others)
        held = client.get(group, job.id)
        assert (held.status, held.after) == ("delayed", [other.id for other in others])
        for other in others:
            client.cancel(other.group_name, other.id)
        with next(jobs) as again:
            assert (again.id, again.deliveries, again.has_inputs) == (job.id, 1, True)
            assert [one.status for one in client.inputs(group, job.id)] == ["cancelled"] * 2
    assert client.get(group, job.id).status == "succeeded"


def test_a_job_waits_by_a_call(client: Client, group: str) -> None:
    """`wait_for` in the block does the same. A refusal is raised, and the job is still held."""
    job = client.enqueue(group, image="send")
    other = client.enqueue(f"{group}-others", image="x")
    with client.consume(group) as jobs:
        with (delivery := next(jobs)):
            with pytest.raises(WrongState, match="It would wait for the job"):
                delivery.wait_for(job.id)
            assert delivery.is_held
            delivery.wait_for(other, after_on="succeeded")
            assert not delivery.is_held
        client.cancel(other.group_name, other.id)
        assert client.wait(group, job.id).reason == "dependency"
        client.enqueue(group, image="send")
        with next(jobs) as last:
            raise WaitFor([last.id])
    failed = client.get(group, last.id)
    assert (failed.status, failed.reason) == ("failed", "exception")
    assert "It would wait for the job" in failed.error


def test_what_no_job_can_wait_for() -> None:
    """Only jobs and their ids can be waited for."""
    with pytest.raises(TypeError, match="and not for int"):
        WaitFor([7])  # type: ignore[list-item]


async def test_the_same_with_asyncio(broker: str, group: str) -> None:
    """`AsyncClient` does the same."""
    async with AsyncClient(broker) as client:
        job = await client.enqueue(group, image="send")
        other = await client.enqueue(f"{group}-others", image="x")
        async with client.consume(group) as jobs:
            async with await anext(jobs):
                raise WaitFor(other)
            assert (await client.get(group, job.id)).status == "delayed"
            await client.cancel(other.group_name, other.id)
            async with await anext(jobs) as again:
                raise WaitFor(again.id)
        failed = await client.get(group, job.id)
    assert (failed.status, failed.reason, again.id) == ("failed", "exception", job.id)
