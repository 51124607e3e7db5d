"""The reaper's loop: when it looks, what it does about faults, and the logs of jobs that are gone."""

import asyncio
import contextlib
import logging

import pytest

from broker.core.errors import StoreUnavailable
from broker.models.groups import GroupSettings, Retentions
from broker.models.jobs import NewJob
from broker.models.schedules import NewSchedule, ScheduledJob
from broker.reaper import log_cleaner
from broker.reaper import reaper as reaper_module
from broker.reaper.reaper import LONGEST_SLEEP_S, Reaper
from broker.resp import keys
from broker.resp.client import connect_listener
from broker.resp.notifier import Notifier
from broker.store.format.maintenance_replies import Unsettled
from tests.conftest import NOW, eventually, listening, somebody_waits, waits
from tests.stores import Store

GONE_AT_ONCE = GroupSettings(retention=Retentions(succeeded=0, failed=0, cancelled=0))


class FakeLogs:
    """Logs that note what is deleted; `fault` is raised instead, `is_stuck` never answers."""

    def __init__(self):
        self.deleted = []
        self.fault = None
        self.is_stuck = False

    async def delete(self, job_ids):
        if self.is_stuck:
            await asyncio.Event().wait()
        if self.fault:
            raise self.fault
        self.deleted += job_ids


@pytest.fixture
def logs():
    return FakeLogs()


@pytest.fixture
async def notifier(store):
    async with Notifier(connect_listener(store.redis), store.partitions) as notifier:
        await listening(notifier)
        await somebody_waits(store)
        yield notifier


@pytest.fixture
def reaper(store, logs, notifier, monkeypatch):
    """A reaper that counts its calls of the store in `reaper.calls`, and tries again soon after a fault."""
    monkeypatch.setattr(reaper_module, "AFTER_FAULT_S", 0.01)
    monkeypatch.setattr(log_cleaner, "AFTER_FAULT_S", 0.01)
    reaper = Reaper(store, logs, notifier)
    reaper.calls, reaper.notifier = 0, notifier
    reap = store.maintenance.reap

    async def counted(limit):
        reaper.calls += 1
        return await reap(limit)

    monkeypatch.setattr(store.maintenance, "reap", counted)
    return reaper


async def heard(store, notifier):
    """Wait until all messages so far are heard: the last one is heard last."""
    with waits(notifier, ["marker"]) as event:
        await store.configure("marker", GroupSettings(paused=True))
        await store.enqueue("marker", [NewJob(image="x")])
        await store.configure("marker", GroupSettings())
        await asyncio.wait_for(event.wait(), 5)


@contextlib.asynccontextmanager
async def running(reaper):
    """The reaper runs inside the block."""
    await heard(reaper._store, reaper.notifier)
    task = asyncio.create_task(reaper.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def gone_with_log(store, number=1):
    """Jobs that had a log and are gone."""
    await store.configure("maps", GONE_AT_ONCE)
    made = (await store.enqueue("maps", [NewJob(image="x")] * number)).jobs
    for job in await store.next(number):
        await store.log("maps", job.id, 12)
        await store.succeed("maps", job.id, job.lease)
    return sorted(job.id for job in made)


async def test_reap_due_says_how_long_to_sleep(store, reaper):
    """It sleeps until the next timer; without one until the slow look."""
    store.now = str(NOW)
    assert await reaper.reap_due() == LONGEST_SLEEP_S
    await store.enqueue("maps", [NewJob(image="x", delay=30), NewJob(image="x", delay=3)])
    assert await reaper.reap_due() == 3.0
    store.now = str(NOW + 3000)
    assert await reaper.reap_due() == 27.0


async def test_reap_due_goes_on_while_there_is_more(store, logs, notifier, settings):
    """A batch bounds one step, not the work: all due timers are handled before it sleeps."""
    store.now = str(NOW)
    object.__setattr__(store, "settings", type(settings)(key_prefix=settings.key_prefix, reap_batch=2))
    await store.enqueue("maps", [NewJob(image="x", delay=1)] * 7)
    store.now = str(NOW + 1000)
    await Reaper(store, logs, notifier).reap_due()
    assert (await store.groups.show("maps")).counts.queued == 7


async def test_run_does_not_look_without_a_reason(store, reaper, monkeypatch):
    """With the next timer far away it asks once and sleeps; work that sets no sooner timer does not wake it."""
    monkeypatch.setattr(reaper_module, "LONGEST_SLEEP_S", 60)
    await store.enqueue("maps", [NewJob(image="x", delay=3600)])
    async with running(reaper):
        await eventually(lambda: reaper.calls == 1)
        await store.enqueue("mail", [NewJob(image="x"), NewJob(image="x", delay=7200)])
        await heard(store, reaper.notifier)
        assert reaper.calls == 1


async def test_run_wakes_for_a_sooner_timer_of_another_client(store, reaper, redis, backend, monkeypatch):
    """A sooner timer that anybody sets wakes it, to sleep until that."""
    monkeypatch.setattr(reaper_module, "LONGEST_SLEEP_S", 60)
    await store.enqueue("maps", [NewJob(image="x", delay=3600)])
    other = Store(redis, store.settings, is_plain=backend == "fake")
    async with running(reaper):
        await eventually(lambda: reaper.calls == 1)
        await other.enqueue("mail", [NewJob(image="x", delay=1800)])
        await eventually(lambda: reaper.calls == 2)
        await other.enqueue("mail", [NewJob(image="x", delay=900)])
        await eventually(lambda: reaper.calls == 3)


async def test_run_looks_though_no_word_comes(store, reaper):
    """If messages get lost, as on a half-open connection, due timers are handled within a second."""
    async with running(reaper):
        await eventually(lambda: reaper.calls > 0)
        reaper.notifier._on_timer.clear()
        await store.enqueue("maps", [NewJob(image="x", delay=1)])
        store.now = str(10**13)
        await eventually(lambda: reaper.done["queued"], 1.5)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["valkey"])
async def test_a_lost_job_is_back_within_a_second_of_its_timeout(store, reaper):
    """A job whose consumer vanished can be taken again at most a second after its timeout, and not before it."""
    await store.enqueue("maps", [NewJob(image="x", timeout=1)])
    async with running(reaper):
        with waits(reaper.notifier, ["maps"]) as ready:
            await eventually(lambda: reaper.calls > 0)
            await store.next(1)
            ready.clear()
            clock = asyncio.get_running_loop().time
            began = clock()
            await asyncio.wait_for(ready.wait(), 5)
    assert 0.9 < clock() - began < 2.0
    assert [job.deliveries for job in await store.next(1)] == [2]


async def test_run_after_a_crash(store, reaper, monkeypatch, caplog):
    """A crash is logged with its cause, is in `fault` meanwhile, and the reaper continues."""
    reap, is_broken = store.reap, True

    async def crash(limit):
        if is_broken:
            raise RuntimeError("a bug")
        return await reap(limit)

    monkeypatch.setattr(store.maintenance, "reap", crash)
    store.now = str(NOW)
    await store.enqueue("maps", [NewJob(image="x", delay=1)])
    store.now = str(NOW + 1000)
    async with running(reaper):
        await eventually(lambda: reaper.fault)
        assert "crashed" in reaper.fault
        is_broken = False
        await eventually(lambda: not reaper.fault)
    assert (await store.groups.show("maps")).counts.queued == 1
    assert any(record.exc_info and "a bug" in str(record.exc_info[1]) for record in caplog.records)


async def test_run_while_the_store_is_away(store, reaper, monkeypatch, caplog):
    """A store that does not answer is in `fault`, is logged once and not each time, and is asked again.

    That it works again is logged once too, as a warning: `titan up` shows nothing below that.
    """
    reap, asked = store.reap, 0

    async def away(limit):
        nonlocal asked
        asked += 1
        if asked < 5:
            raise StoreUnavailable("It is away.")
        return await reap(limit)

    monkeypatch.setattr(store.maintenance, "reap", away)
    with caplog.at_level(logging.WARNING, "broker.reaper.reaper"):
        async with running(reaper):
            await eventually(lambda: reaper.fault == "It is away.")
            await eventually(lambda: asked >= 5 and not reaper.fault)
            await eventually(lambda: asked >= 7)
    assert [record.event for record in caplog.records] == ["reaper.failed", "reaper.recovered"]


async def test_logs_of_expired_jobs_are_deleted(store, reaper, logs):
    """The log of a job that went goes as well, and is not asked for again."""
    gone = await gone_with_log(store, 3)
    async with running(reaper):
        await eventually(lambda: sorted(logs.deleted) == gone)
        await eventually(lambda: not reaper._log_cleaner._has_work.is_set())
    assert await store.discarded(10) == []


@pytest.mark.parametrize("trouble", [StoreUnavailable("The bucket is away."), RuntimeError("a bug"), "stuck"])
async def test_logs_that_cannot_be_deleted_do_not_stop_the_reaping(store, reaper, logs, trouble):
    """A log store that fails or hangs delays only its own deletions, which are done later."""
    logs.is_stuck, logs.fault = trouble == "stuck", None if trouble == "stuck" else trouble
    gone = await gone_with_log(store)
    async with running(reaper):
        await eventually(lambda: reaper.calls > 0)
        with waits(reaper.notifier, ["mail"]) as ready:
            await store.enqueue("mail", [NewJob(image="x", delay=1)])
            store.now = str(10**13)
            reaper._wake.set()
            await asyncio.wait_for(ready.wait(), 5)
        assert not reaper.fault
        assert logs.deleted == []
    logs.is_stuck, logs.fault = False, None
    async with running(reaper):
        await eventually(lambda: logs.deleted == gone)


@pytest.mark.parametrize("backend", ["valkey"])
async def test_run_ends_whenever_it_is_cancelled(store, logs, notifier):
    """The reaper does not delay a broker that stops, at any moment of its work."""
    logs.fault = RuntimeError("a bug")  # it asks again and again
    await gone_with_log(store, 1)
    for number in range(100):
        task = asyncio.create_task(Reaper(store, logs, notifier).run())
        await asyncio.sleep(number % 20 / 4000)  # somewhere in the middle of a call
        task.cancel()
        _, still_there = await asyncio.wait([task], timeout=5)
        assert not still_there
        notifier._on_timer.clear()


async def test_two_reapers_do_the_work_once(store, reaper, logs, notifier):
    """Reapers of several brokers do not get in each other's way: each job is requeued once."""
    store.now = str(NOW)
    await store.enqueue("maps", [NewJob(image="x", timeout=1)] * 50)
    await store.next(50)
    store.now = str(NOW + 1000)
    other = Reaper(store, logs, notifier)
    steps = await asyncio.gather(*(one.reap_once() for one in (reaper, other) * 3))
    assert sum(step.requeued for step in steps) == 50
    assert (await store.groups.show("maps")).counts.queued == 50


async def test_reaper_settles(reaper, store):
    """A step settles the ends of jobs as well: a dependant is queued, and the next step finds nothing left."""
    [parent] = (await store.enqueue("g", [NewJob(image="x")])).jobs
    [child] = (await store.enqueue("g", [NewJob(image="x", after=[parent.id])])).jobs
    [parent] = await store.next(1)
    await store.succeed("g", parent.id, parent.lease)
    reaped = await reaper.reap_once()
    assert (reaped.unsettled, reaped.wait_ms, reaper.unsettled.n) == (1, 0, 0)
    assert (await store.show("g", child.id)).status == "queued"
    assert (await reaper.reap_once()).unsettled == 0
    [waiting] = [family for family in reaper.families() if family.name == "titan_settle_waiting"]
    assert [sample.value for sample in waiting.samples] == [0]
    reaper.unsettled = Unsettled(3, 7500)
    shown = {family.name: family.samples[0].value for family in reaper.families()}
    assert (shown["titan_settle_waiting"], shown["titan_settle_waiting_seconds"]) == (3, 7.5)


async def test_schedules_fire_without_the_one_that_is_damaged(reaper, store):
    """The reaper's own call says that schedules are due; one that cannot be read does not stop the others."""
    for name in ("damaged", "sound"):
        await store.schedules.put("maps", name, NewSchedule(every=1, overlap="allow", job=ScheduledJob(image=name)))
    p = store.partitions[0]
    await store.redis.hset(keys.schedule(p, "maps", "damaged"), "spec", "nonsense")
    async with running(reaper):
        await eventually(lambda: reaper._scheduler.done["fired"] > 1)
    jobs, _ = await store.list("maps", 10)
    assert {job.image for job in jobs} == {"sound"}
    [fires] = [family for family in reaper.families() if family.name == "titan_schedule_fires_total"]
    assert {sample.labels["what"] for sample in fires.samples} == {"fired", "skipped", "missed"}
