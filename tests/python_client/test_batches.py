"""Batches by the Python client."""

import pytest

from titan import AsyncClient, Batch, Client, LimitReached, NewJob, NotFound, WrongState, calls

pytestmark = pytest.mark.slow


def end_all(client: Client, group: str, *failing: str) -> None:
    """Run the jobs of a group until none is queued; those with these payloads fail."""
    consumer = client.consume(group, wait_s=0)
    for delivery in consumer:
        with delivery as job:
            if job.payload in failing:
                raise RuntimeError(job.payload)
        if not [*client.list(group, statuses="queued")]:
            consumer.stop()


@pytest.fixture
def small_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call has 2 jobs at most."""
    monkeypatch.setattr(calls, "MAX_JOBS", 2)


@pytest.mark.usefixtures("small_calls")
def test_a_batch_of_several_calls(client: Client, group: str) -> None:
    """It is closed with the last one; with a key the whole is repeated without a second job."""
    jobs = [NewJob("x", str(n)) for n in range(5)]
    over = {"image": "x", "payload": "over", "group_name": f"{group}-over"}
    batch = client.create_batch(group, jobs, name="n", on_over=over, key="k")
    assert (batch.state, batch.counts["total"], batch.name) == ("running", 5, "n")
    assert client.create_batch(group, jobs, name="n", on_over=over, key="k").id == batch.id
    assert [job.payload for job in client.batch_jobs(group, batch, page_size=2)] == ["0", "1", "2", "3", "4"]
    assert client.batch(group, batch.id).counts["total"] == 5
    end_all(client, group, "3")
    ended = client.wait_for_batch(group, batch, timeout_s=10)
    assert (ended.state, ended.has_ended, ended.has_succeeded) == ("failed", True, False)
    callback = client.get(f"{group}-over", ended.callbacks["on_over"])
    assert (callback.payload, callback.batch["callback"], callback.batch["counts"]["failed"]) == ("over", "on_over", 1)
    again = client.retry_batch(group, ended)
    assert (again.retry_of, client.batch(group, ended).retried_by) == (batch.id, again.id)
    with pytest.raises(WrongState, match=again.id):
        client.retry_batch(group, ended)


def test_an_open_batch(client: Client, group: str) -> None:
    """Members are added until it is closed; then only by a running one."""
    batch = client.create_batch(group, is_open=True, end_within=60, on_failed=NewJob("x"))
    assert (batch.state, batch.end_before is not None) == ("open", True)
    added = client.add_to_batch(group, batch, [NewJob("x"), {"image": "x"}])
    assert [job.batch for job in added] == [{"id": batch.id}] * 2
    assert client.add_to_batch(group, batch, []) == []
    assert client.close_batch(group, batch).state == "running"
    with pytest.raises(WrongState, match="closed"):
        client.add_to_batch(group, batch, [NewJob("x")])
    consumer = client.consume(group, wait_s=0)
    with next(iter(consumer)) as running:
        client.add_to_batch(group, batch.id, [NewJob("x")], member=running)
    assert client.batch(group, batch).counts["total"] == 3
    stopped = client.cancel_batch(group, batch)
    assert stopped.stopped == "client_request"
    assert client.wait_for_batch(group, batch, timeout_s=10).state == "cancelled"


def test_errors_of_batches(client: Client, group: str) -> None:
    """An unknown batch, one that does not end in time, and a field that is wrong are errors as everywhere."""
    with pytest.raises(NotFound):
        client.batch(group, "0" * 16)
    batch = client.create_batch(group, [NewJob("x")])
    with pytest.raises(TimeoutError, match=f"The batch {batch.id} did not finish within 1 s; it is running"):
        client.wait_for_batch(group, batch, timeout_s=1)
    assert not issubclass(LimitReached, WrongState)


async def test_the_same_with_asyncio(broker: str, group: str) -> None:
    """`AsyncClient` does the same."""
    async with AsyncClient(broker) as client:
        batch = await client.create_batch(group, [NewJob("x")], is_open=True, on_succeeded={"image": "y"})
        assert isinstance(batch, Batch)
        (added,) = await client.add_to_batch(group, batch, [NewJob("x")])
        assert [job.id async for job in client.batch_jobs(group, batch)][-1] == added.id
        assert (await client.close_batch(group, batch)).state == "running"
        assert (await client.cancel_batch(group, batch)).stopped == "client_request"
        ended = await client.wait_for_batch(group, batch, timeout_s=10)
        assert (ended.state, ended.callbacks) == ("cancelled", {})
        with pytest.raises(WrongState):
            await client.retry_batch(group, batch)
        assert (await client.batch(group, batch)).ended_at == ended.ended_at
