"""Schedules under random acts of several brokers against a model: which times fire, and each of them once.

A broker reads which schedules are due and fires one later, or never, since it died in between. The clock steps in both
directions. The model knows only numbers: the times of a schedule are the multiples of its distance.
"""

from random import Random
from typing import Any

import pytest

from broker.core.timestamps import milliseconds
from broker.diagnostics.consistency import check
from broker.models.schedules import NewSchedule, ScheduledJob
from broker.store.format.schedules import StoredSchedule
from broker.store.schedule_fires import ON_TIME_MS
from tests.conftest import NOW
from tests.contract.building import GROUP, now_ms, wait
from tests.stores import Store

NAME = "s"
ACTS = 150


class World:
    """Brokers of one store, what each of them has read, and the model of one schedule."""

    def __init__(self, brokers: list[Store], random: Random) -> None:
        self.brokers = brokers
        self.random = random
        self.every_ms = random.choice([1, 7, 60, 3600]) * 1000
        self.missed: Any = random.choice(["one", "all", "none"])
        self.catch_up_ms = random.choice([0, 30, 5000, 86_400]) * 1000
        self.read: dict[int, tuple[StoredSchedule, int]] = {}
        self.next = 0
        self.is_paused = False
        self.version = 0
        """A number that changes whenever what a broker has read is no longer so."""
        self.read_version: dict[int, int] = {}
        self.fired: set[int] = set()
        self.n_missed = self.n_skipped = 0
        self.by_hand: set[str] = set()

    async def begin(self) -> None:
        """Put the schedule."""
        await self.brokers[0].schedules.put(GROUP, NAME, self._spec("first"))
        self.next = self._after(now_ms(self.brokers[0]))

    async def act(self) -> None:
        """Any act of a broker, of a person, or of the clock."""
        acts = [self._read, self._fire, self._read_and_fire, self._wait] * 3
        acts += [self._crash, self._step_back, self._sleep, self._put]
        acts += [self._pause, self._resume, self._run, self._backfill]
        await self.random.choice(acts)(self.random.randrange(len(self.brokers)))

    async def compare(self) -> None:
        """The jobs are those of the model: one for each time, and those that were made by hand."""
        store = self.brokers[0]
        jobs, _ = await store.list(GROUP, 1000)
        by_time = [milliseconds(job.scheduled_for) for job in jobs if job.id not in self.by_hand]
        shown = await store.schedules.show(GROUP, NAME)
        assert sorted(by_time) == sorted(self.fired)
        counts = (shown.counts.fired, shown.counts.missed, shown.counts.skipped)
        assert counts == (len(self.fired) + len(self.by_hand), self.n_missed, self.n_skipped)
        assert shown.state == ("paused" if self.is_paused else "active")
        if not self.is_paused:
            assert milliseconds(shown.next_at) == self.next
        assert await check(store) == []

    def _spec(self, payload: str) -> NewSchedule:
        return NewSchedule(
            every=self.every_ms // 1000,
            missed=self.missed,
            catch_up=self.catch_up_ms // 1000,
            overlap="allow",
            job=ScheduledJob(image="x", payload=payload),
        )

    def _after(self, at: int) -> int:
        return (at // self.every_ms + 1) * self.every_ms

    async def _read(self, broker: int) -> None:
        store = self.brokers[broker]
        found = await store.schedules.stored(GROUP, NAME)
        if found.score <= now_ms(store):
            self.read[broker], self.read_version[broker] = (found, now_ms(store)), self.version

    async def _fire(self, broker: int) -> None:
        """Fire what was read, which may be long ago."""
        if broker not in self.read:
            return
        found, now = self.read.pop(broker)
        outcome = await self.brokers[broker].schedule_fires.fire(found, now)
        if self.read_version[broker] != self.version:
            assert outcome.what == "changed"
            return
        self._model_fire(now)

    def _model_fire(self, now: int) -> None:
        due = range(self.next, now + 1, self.every_ms)
        allowed = [at for at in due if at >= now - self.catch_up_ms]
        chosen = (allowed[0] if self.missed == "all" else allowed[-1]) if allowed else None
        if self.missed == "none" and chosen is not None and chosen < now - ON_TIME_MS:
            chosen = None
        last = due[-1] if chosen is None else chosen
        passed = len([at for at in due if at < last]) + (chosen is None)
        self.n_missed += min(passed, 1000)
        if chosen is not None:
            self.fired.add(chosen)
        self.next = last + self.every_ms
        self.version += 1

    async def _read_and_fire(self, broker: int) -> None:
        await self._read(broker)
        await self._fire(broker)

    async def _crash(self, broker: int) -> None:
        self.read.pop(broker, None)

    async def _wait(self, _: int) -> None:
        self._move(self.random.choice([0.5, 1, 2]) * self.every_ms / 1000)

    async def _sleep(self, _: int) -> None:
        """Nobody works for a while."""
        self._move(self.random.choice([9, 40]) * self.every_ms / 1000)

    async def _step_back(self, _: int) -> None:
        self._move(-self.random.choice([0.4, 3.1, 15]) * self.every_ms / 1000)

    def _move(self, seconds: float) -> None:
        for store in self.brokers:
            wait(store, seconds)

    async def _put(self, broker: int) -> None:
        """The same schedule again, or with another job: its times stay."""
        payload = self.random.choice(["first", "other"])
        before = (await self.brokers[broker].schedules.show(GROUP, NAME)).revision
        put = await self.brokers[broker].schedules.put(GROUP, NAME, self._spec(payload))
        self.version += put.schedule.revision != before

    async def _pause(self, broker: int) -> None:
        await self.brokers[broker].schedules.pause(GROUP, NAME)
        self.version += not self.is_paused
        self.is_paused = True

    async def _resume(self, broker: int) -> None:
        store = self.brokers[broker]
        await store.schedules.resume(GROUP, NAME)
        if self.is_paused:
            self.n_skipped += len(range(self.next, now_ms(store) + 1, self.every_ms))
            self.next = max(self.next, self._after(now_ms(store)))
            self.version += 1
        self.is_paused = False

    async def _run(self, broker: int) -> None:
        job_id, _ = await self.brokers[broker].schedule_fires.run(GROUP, NAME, None)
        self.by_hand.add(job_id)

    async def _backfill(self, broker: int) -> None:
        store = self.brokers[broker]
        last = now_ms(store) - self.random.randrange(3 * self.every_ms)
        first = last - self.random.randrange(6 * self.every_ms)
        made = await store.schedule_fires.backfill(GROUP, NAME, first, last, "allow")
        times = [at for at in range(self._after(first - 1), last + 1, self.every_ms) if at not in self.fired]
        if not self.is_paused:
            times = [at for at in times if at < self.next]
        assert made == len(times)
        self.fired |= set(times)


@pytest.mark.parametrize("backend", ["valkey"])
@pytest.mark.parametrize("seed", range(12))
async def test_times_fire_once_under_the_policies(store: Store, redis: Any, settings: Any, seed: int) -> None:
    """Whatever brokers, people and the clock do: the jobs are those that the policies say, each time once."""
    random = Random(seed)
    store.now = str(NOW)
    brokers = [store, *(Store(redis, settings) for _ in range(random.randrange(3)))]
    for broker in brokers:
        broker.now = store.now
    world = World(brokers, random)
    await world.begin()
    for _ in range(ACTS):
        await world.act()
    await world.compare()
