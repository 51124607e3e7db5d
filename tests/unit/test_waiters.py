"""A client that waits for jobs is woken, through whichever broker they came, also after the connection was lost."""

import asyncio

import pytest

from broker.models.groups import GroupSettings
from broker.models.jobs import NewJob
from broker.resp.client import connect_listener
from broker.resp.notifier import Notifier
from tests.conftest import NOW, listening, somebody_waits, waits
from tests.stores import Store

ONE = [NewJob(image="x")]


@pytest.fixture
async def notifier(store):
    async with Notifier(connect_listener(store.redis), store.partitions) as notifier:
        await listening(notifier)
        await somebody_waits(store)
        yield notifier


@pytest.fixture
def other(store, redis, backend):
    """The same store as another broker has it."""
    return Store(redis, store.settings, is_plain=backend == "fake")


async def is_set(event):
    """Wait for an event, 5 s at most."""
    await asyncio.wait_for(event.wait(), 5)
    return True


async def test_waiting_wakes_on_enqueue_of_another_client(notifier, other):
    """A job that anybody enqueues wakes who waits for any group."""
    with waits(notifier, []) as event:
        await other.enqueue("maps", ONE)
        assert await is_set(event)


async def test_waiting_wakes_only_for_its_groups(notifier, other):
    """Who waits for groups is woken by those and by no other."""
    with waits(notifier, ["mail", "thumbs"]) as ours, waits(notifier, ["maps"]) as theirs:
        await other.enqueue("maps", ONE)
        assert await is_set(theirs)
        assert not ours.is_set()
        await other.enqueue("thumbs", ONE)
        assert await is_set(ours)


@pytest.mark.parametrize("verb", ["release", "fail", "reap", "unpause", "room"])
async def test_waiting_wakes_on_every_way_to_be_ready(notifier, other, verb):
    """A group that may dispatch again wakes its long polls, for every cause."""
    other.now = str(NOW)
    await other.configure("maps", GroupSettings(max_concurrency=2))
    await other.enqueue("maps", [NewJob(image="x", timeout=1, max_retries=1, retries_delay=0)] * 2)
    first, second = await other.next(2)
    if verb in {"unpause", "room"}:
        await other.enqueue("maps", ONE)
        await other.configure("maps", GroupSettings(paused=verb == "unpause", max_concurrency=2))
    with waits(notifier, ["thumbs"]) as earlier:  # all messages so far are heard
        await other.enqueue("thumbs", ONE)
        assert await is_set(earlier)
    with waits(notifier, ["maps"]) as event:
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


async def test_waiting_ends_with_its_block(notifier):
    """Who left is waited for no more."""
    with waits(notifier, ["maps"]) as event:
        assert notifier.is_awaited
    notifier.wake("maps")
    assert not event.is_set()
    assert not notifier.is_awaited


async def test_on_timer_is_told_of_a_sooner_timer(notifier, other):
    """A caller is notified when the first timer moves closer, and not when a later one is set."""
    told = asyncio.Event()
    notifier.on_timer(told.set)
    await other.enqueue("maps", [NewJob(image="x", delay=60)])
    assert await is_set(told)
    told.clear()
    await other.enqueue("mail", [NewJob(image="x", delay=120)])
    with waits(notifier, ["thumbs"]) as later:
        await other.enqueue("thumbs", ONE)
        assert await is_set(later)
    assert not told.is_set()


@pytest.mark.parametrize("backend", ["valkey", "redis"])
async def test_a_lost_connection_is_found_again_and_wakes_everyone(notifier, other, redis):
    """A message that was published while the connection was down is made up for: every long poll is woken."""
    timer = asyncio.Event()
    notifier.on_timer(timer.set)
    with waits(notifier, ["maps"]) as ours, waits(notifier, ["mail"]) as theirs:
        await redis.client_kill_filter(_type="pubsub")
        await other.enqueue("maps", ONE)
        assert not ours.is_set()
        assert await is_set(ours)
        assert await is_set(theirs)
    assert timer.is_set()


async def test_leaving_closes_the_listener(store):
    """At the end nothing listens any more and the task is gone."""
    async with Notifier(connect_listener(store.redis), store.partitions) as notifier:
        await listening(notifier)
    assert all(task.done() for task in notifier._tasks)
