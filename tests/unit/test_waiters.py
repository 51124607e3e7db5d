"""Who waits for jobs is woken, by whomever they came, also after the connection was lost."""

import asyncio

import pytest

from broker.models.groups import GroupSettings
from broker.models.jobs import NewJob
from broker.resp.client import connect_listener
from broker.resp.notifier import Waiters
from tests.conftest import NOW, eventually, somebody_waits, waits
from tests.stores import Store

ONE = [NewJob(image="x")]


@pytest.fixture
async def waiters(store):
    async with Waiters(connect_listener(store.redis), store.partitions) as waiters:
        await eventually(lambda: waiters.is_listening)
        await somebody_waits(store)
        yield waiters


@pytest.fixture
def other(store, redis, backend):
    """The same store as another broker has it."""
    return Store(redis, store.settings, is_plain=backend == "fake")


async def is_set(event):
    """Wait for an event, 5 s at most."""
    await asyncio.wait_for(event.wait(), 5)
    return True


async def test_waiting_wakes_on_enqueue_of_another_client(waiters, other):
    """A job that anybody enqueues wakes who waits for any group."""
    with waits(waiters, []) as event:
        await other.enqueue("maps", ONE)
        assert await is_set(event)


async def test_waiting_wakes_only_for_its_groups(waiters, other):
    """Who waits for groups is woken by those and by no other."""
    with waits(waiters, ["mail", "thumbs"]) as ours, waits(waiters, ["maps"]) as theirs:
        await other.enqueue("maps", ONE)
        assert await is_set(theirs)
        assert not ours.is_set()
        await other.enqueue("thumbs", ONE)
        assert await is_set(ours)


@pytest.mark.parametrize("verb", ["release", "fail", "reap", "unpause", "room"])
async def test_waiting_wakes_on_every_way_to_be_ready(waiters, other, verb):
    """A group that may hand out again wakes its waiters, whatever made it so."""
    other.now = str(NOW)
    await other.configure("maps", GroupSettings(max_concurrency=2))
    await other.enqueue("maps", [NewJob(image="x", timeout=1, max_retries=1, retries_delay=0)] * 2)
    first, second = await other.next(2)
    if verb in {"unpause", "room"}:
        await other.enqueue("maps", ONE)
        await other.configure("maps", GroupSettings(paused=verb == "unpause", max_concurrency=2))
    with waits(waiters, ["thumbs"]) as earlier:  # what was said so far is heard
        await other.enqueue("thumbs", ONE)
        assert await is_set(earlier)
    with waits(waiters, ["maps"]) as event:
        if verb == "release":
            await other.release("maps", first.id, first.lease)
        elif verb == "fail":
            await other.fail("maps", first.id, first.lease)
        elif verb == "reap":
            other.now = str(NOW + 1000)
            await other.reap(10)
        elif verb == "unpause":
            await other.configure("maps", GroupSettings())
        else:
            await other.succeed("maps", second.id, second.lease)
        assert await is_set(event)


async def test_waiting_ends_with_its_block(waiters):
    """Who left is waited for no more."""
    with waits(waiters, ["maps"]) as event:
        assert waiters.is_awaited
    waiters.wake("maps")
    assert not event.is_set()
    assert not waiters.is_awaited


async def test_on_timer_is_told_of_a_sooner_timer(waiters, other):
    """Who asked is told when the first timer moves closer, and not when a later one is set."""
    told = asyncio.Event()
    waiters.on_timer(told.set)
    await other.enqueue("maps", [NewJob(image="x", delay=60)])
    assert await is_set(told)
    told.clear()
    await other.enqueue("mail", [NewJob(image="x", delay=120)])
    with waits(waiters, ["thumbs"]) as later:
        await other.enqueue("thumbs", ONE)
        assert await is_set(later)
    assert not told.is_set()


@pytest.mark.parametrize("backend", ["valkey", "redis"])
async def test_a_lost_connection_is_found_again_and_wakes_everyone(waiters, other, redis):
    """While nothing is heard `is_listening` is false; once heard again everyone looks, for what was missed."""
    seen = []
    waiters.on_timer(lambda: seen.append(waiters.is_listening))
    with waits(waiters, ["maps"]) as ours, waits(waiters, ["mail"]) as theirs:
        await redis.client_kill_filter(_type="pubsub")
        await eventually(lambda: not waiters.is_listening)
        await other.enqueue("maps", ONE)
        assert not ours.is_set()
        assert await is_set(ours)
        assert await is_set(theirs)
    assert waiters.is_listening
    assert seen[0]


async def test_leaving_closes_the_listener(store):
    """At the end nothing listens any more and the task is gone."""
    async with Waiters(connect_listener(store.redis), store.partitions) as waiters:
        await eventually(lambda: waiters.is_listening)
    assert all(task.done() for task in waiters._tasks)
    assert not waiters.is_listening
