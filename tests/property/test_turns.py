"""Fair order as a property: for any arrivals, limits and calls, every group with a job has its turn in time."""

import asyncio
import secrets
from typing import Any

import fakeredis
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from broker.core.settings import BrokerSettings
from broker.diagnostics.consistency import check
from broker.models.groups import GroupSettings
from broker.models.jobs import Job, NewJob
from broker.resp.client import connect
from tests.conftest import NOW
from tests.property.test_machine import SEARCH
from tests.stores import Store

GROUPS = ("a", "b", "c", "d", "e")
GROUP = st.sampled_from(GROUPS)
ENQUEUE = st.tuples(st.just("enqueue"), GROUP, st.integers(1, 6), st.sampled_from((0, 0, 0, 1, 2)))
NEXT = st.tuples(st.just("next"), st.sampled_from((1, 1, 2, 5, 9)), st.booleans())
ACT = st.one_of(
    ENQUEUE,
    ENQUEUE,
    NEXT,
    NEXT,
    NEXT,
    st.tuples(st.just("configure"), GROUP, st.integers(1, 4), st.sampled_from((None, 1, 3)), st.booleans()),
    st.tuples(st.just("succeed"), st.integers(0, 20)),
    st.tuples(st.just("release"), st.integers(0, 20)),
    st.tuples(st.just("switch")),
)
"""What happens; numbers of jobs count round."""


class Turns:
    """What is known without looking at the store: jobs, settings, and for how many deliveries each group waits.

    A group waits in a priority for deliveries of that priority. Its own jobs of a higher one may come between: then it
    may lose its place once, and stands where it stood from then on, until it has nothing to dispatch.
    """

    def __init__(self) -> None:
        self.queued: dict[str, list[Job]] = {name: [] for name in GROUPS}
        self.running: list[Job] = []
        self.place: dict[str, int] = {}
        self.settings = dict.fromkeys(GROUPS, GroupSettings())
        self.restart()

    def restart(self) -> None:
        """Count again from here: the order or a weight is another one."""
        self.waited: dict[tuple[str, int], int] = {}
        self.keeps: set[str] = set()
        self.heads = {name: self.head(name) for name in GROUPS}

    def head(self, name: str) -> int | None:
        """The priority of the first job that the group can dispatch."""
        given, count = self.settings[name], sum(job.group_name == name for job in self.running)
        if given.paused or not self.queued[name] or (given.max_concurrency or 999) <= count:
            return None
        return self.queued[name][0].priority or 0

    def look(self) -> None:
        """Note which groups can dispatch now, and of which priority."""
        for name in GROUPS:
            before, now = self.heads[name], self.head(name)
            if now is None:
                self.keeps.discard(name)
                self.waited = {key: count for key, count in self.waited.items() if key[0] != name}
            elif before is not None and now < before:
                if name not in self.keeps:
                    self.waited.pop((name, now), None)
                self.keeps.add(name)
            self.heads[name] = now

    def add(self, *jobs: Job) -> None:
        for job in jobs:
            self.place.setdefault(job.id, len(self.place))
            self.queued[job.group_name].append(job)
            self.queued[job.group_name].sort(key=lambda one: (-(one.priority or 0), self.place[one.id]))
        self.look()

    def take(self, job: Job) -> None:
        """A delivery: the first job of its group, of the highest priority, and nobody has waited for too long."""
        name, priority = job.group_name, job.priority or 0
        assert priority == max(head for head in self.heads.values() if head is not None)
        assert self.queued[name].pop(0).id == job.id
        self.running.append(job)
        for other in GROUPS:
            if other != name and self.heads[other] == priority:
                count = self.waited[other, priority] = self.waited.get((other, priority), 0) + 1
                assert count <= sum(self.settings[one].weight or 1 for one in GROUPS if one != other)
        self.waited[name, priority] = 0
        self.look()


class World:
    """A store and what is known of it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.turns = Turns()
        self.is_fair = True

    async def act(self, verb: str, *words: Any) -> None:
        await getattr(self, verb)(*words)

    async def enqueue(self, group: str, count: int, priority: int) -> None:
        jobs = (await self.store.enqueue(group, [NewJob(image="x", priority=priority)] * count)).jobs
        self.turns.add(*jobs)

    async def next(self, n: int, by_image: bool) -> None:
        for job in await self.store.next(n, images=("x",) if by_image else ()):
            if self.is_fair:
                self.turns.take(job)
            else:
                self.turns.queued[job.group_name].pop(0)
                self.turns.running.append(job)

    async def configure(self, group: str, weight: int, most: int | None, paused: bool) -> None:
        given = GroupSettings(weight=weight, max_concurrency=most, paused=paused or None)
        await self.store.configure(group, given)
        self.turns.settings[group] = given
        self.turns.restart()

    async def succeed(self, number: int) -> None:
        if self.turns.running:
            job = self.turns.running.pop(number % len(self.turns.running))
            await self.store.succeed(job.group_name, job.id, job.lease)
            self.turns.look()

    async def release(self, number: int) -> None:
        if self.turns.running:
            job = self.turns.running.pop(number % len(self.turns.running))
            await self.store.release_all([job])
            self.turns.add(job)

    async def switch(self) -> None:
        self.is_fair = not self.is_fair
        await self.store.order.set("fair" if self.is_fair else "fifo")
        self.turns.restart()

    async def finish(self) -> None:
        """Everything that can be dispatched is, and nothing is wrong in the store."""
        assert await check(self.store) == []
        await self.next(500, False)
        assert [name for name in GROUPS if self.turns.head(name) is not None] == []
        assert await check(self.store) == []


def explore(redis: Redis, acts: list[tuple[Any, ...]], *, is_plain: bool) -> None:
    """Do all of this in a store of its own."""

    async def run() -> None:
        prefix = f"test-{secrets.token_hex(6)}"
        store = Store(redis, BrokerSettings(key_prefix=prefix, store_timeout_s=5, partitions=1), is_plain=is_plain)
        store.now = str(NOW)
        await store.open()
        await store.order.set("fair")
        world = World(store)
        for group in GROUPS[:3]:  # so that somebody waits from the beginning
            await world.enqueue(group, 20, 0)
        for act in acts:
            await world.act(*act)
        await world.finish()
        await redis.unlink(*[key async for key in redis.scan_iter(f"{prefix}*", 1000)])
        await store.close()
        await redis.aclose()

    asyncio.run(run())


def test_every_group_has_its_turn_in_time_on_a_real_store(valkey_url: str) -> None:
    """No group waits for more deliveries of its priority than the other groups may give in one turn each."""

    @settings(SEARCH, max_examples=60)
    @given(st.lists(ACT, min_size=5, max_size=60))
    def search(acts: list[tuple[Any, ...]]) -> None:
        explore(connect(valkey_url, 5, 2), acts, is_plain=False)

    search()


def test_every_group_has_its_turn_in_time() -> None:
    """The same holds on fakeredis."""

    @settings(SEARCH, max_examples=5)
    @given(st.lists(ACT, min_size=20, max_size=40))
    def search(acts: list[tuple[Any, ...]]) -> None:
        explore(fakeredis.FakeAsyncRedis(server=fakeredis.FakeServer(), version=(7,)), acts, is_plain=True)

    search()
