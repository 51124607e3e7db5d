"""The slots of a worker: when it asks for jobs, and for how many."""

import asyncio

import pytest

from broker.models.jobs import Job
from worker.daemon.deliveries import Deliveries, Delivery
from worker.jobs.output import Output


def taken(runs: Deliveries, n: int) -> list[Delivery]:
    """A number of deliveries that use a slot each."""
    job = Job(id="0" * 16, group_name="g", status="running", image="it", created_at="2026-11-23T00:00:00.000Z")
    started = [Delivery(job, Output(0), 30) for _ in range(n)]
    for run in started:
        runs.started(run)
    return started


async def test_all_slots_are_asked_for_at_once() -> None:
    """A worker that does nothing waits for nobody."""
    assert await Deliveries(4).wait_for_slots() == 4


async def test_slots_that_become_free_together_are_asked_for_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """A free slot waits until half of them are free: then one call fills them all."""
    monkeypatch.setattr("worker.daemon.deliveries._GATHER_S", 60)
    runs = Deliveries(4)
    first, second, *_ = taken(runs, 4)
    room = asyncio.create_task(runs.wait_for_slots())
    runs.ended(first)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not room.done()
    runs.ended(second)
    async with asyncio.timeout(10):
        assert await room == 2


async def test_a_slot_that_stays_alone_is_asked_for_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slot does not wait for jobs that continue."""
    monkeypatch.setattr("worker.daemon.deliveries._GATHER_S", 0.01)
    runs = Deliveries(4)
    first, *_ = taken(runs, 4)
    runs.ended(first)
    async with asyncio.timeout(10):
        assert await runs.wait_for_slots() == 1


async def test_no_slot_is_asked_for_while_all_are_taken() -> None:
    """A worker whose slots are taken asks for nothing until one of them is free."""
    runs = Deliveries(1)
    [only] = taken(runs, 1)
    room = asyncio.create_task(runs.wait_for_slots())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not room.done()
    runs.ended(only)
    assert await room == 1
