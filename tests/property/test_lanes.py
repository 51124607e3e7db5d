"""Jobs of a few keys under random acts: how many are queued or run, who is held, and what `titan check` finds."""

from collections import Counter
from random import Random
from typing import Any

import pytest

from broker.core.errors import Duplicate, TitanError
from broker.diagnostics.consistency import check
from broker.models.groups import GroupSettings
from broker.models.jobs import Job, NewJob
from broker.models.retries import Retry
from broker.models.unique import Unique
from broker.resp import keys
from tests.conftest import NOW
from tests.contract.building import GROUP, reap_after
from tests.contract.flows import settle
from tests.stores import Store

KEYS = ("acme", "blue")
ACTS = 70
UNFINISHED = ["delayed", "queued", "running"]


class Tenants:
    """A store with jobs of some keys, what runs of them, and which jobs had places before the last act."""

    def __init__(self, store: Store, random: Random) -> None:
        self.store = store
        self.random = random
        self.limit: int | None = None
        self.is_strict = False
        self.running: list[Job] = []
        self.placed: Counter[str] = Counter()
        self.held: dict[str, int] = {}
        self.acts = 0

    async def act(self) -> None:
        """Any act of a producer, a consumer, an operator or a reaper."""
        often = [self._enqueue, self._take, self._end, self._settle]
        rare = [self._release, self._wait_for, self._cancel, self._retry, self._promote, self._configure, self._pass]
        await self.random.choice(often * 3 + rare)()
        self.acts += 1

    async def _enqueue(self) -> None:
        unfinished = [job.id for job in await self._unfinished()]
        jobs = [self._new(unfinished) for _ in range(self.random.randint(1, 4))]
        await self.store.enqueue(GROUP, jobs)

    def _new(self, unfinished: list[str]) -> NewJob:
        pick = self.random.random()
        fields: dict[str, Any] = {"key": self.random.choice([*KEYS, *KEYS, None]), "timeout": 20}
        fields["priority"] = self.random.choice([0, 0, 0, 1])
        if pick < 0.1:
            fields["delay"] = self.random.randint(1, 9)
        elif pick < 0.2 and unfinished:
            fields |= {"after": [self.random.choice(unfinished)], "after_on": self.random.choice(["succeeded", "over"])}
        elif pick < 0.3:
            fields["unique"] = Unique(key="u", on_conflict=self.random.choice(["existing", "replace", "follow"]))
        elif pick < 0.4:
            fields |= {"max_retries": 2, "retries_delay": self.random.choice([0, 4])}
        elif pick < 0.5:
            fields["retry"] = Retry(max=2, delay=4, jitter=0)
        elif pick < 0.6:
            fields |= {"start_within": 6, "end_within": 12}
        return NewJob(image="x", **fields)

    async def _take(self) -> None:
        self.running += await self.store.next(self.random.randint(1, 4))

    async def _end(self) -> None:
        if self.running:
            job = self.running.pop(self.random.randrange(len(self.running)))
            await self._try(self.random.choice([self.store.succeed, self.store.fail])(GROUP, job.id, job.lease))

    async def _release(self) -> None:
        if self.running:
            job = self.running.pop()
            await self._try(self.store.release(GROUP, job.id, job.lease, self.random.choice([0, 5])))

    async def _wait_for(self) -> None:
        others = await self._unfinished()
        if self.running and others:
            job = self.running.pop()
            await self._try(
                self.store.completer.wait(GROUP, job.id, [self.random.choice(others).id], "over", job.lease or "")
            )

    async def _cancel(self) -> None:
        if unfinished := await self._unfinished():
            await self.store.cancel(GROUP, self.random.choice(unfinished).id)

    async def _retry(self) -> None:
        ended, _ = await self.store.list(GROUP, 50, statuses=["succeeded", "failed", "cancelled"])
        if unretried := [job for job in ended if not job.retry_at]:
            await self._try(self.store.retry(GROUP, self.random.choice(unretried).id))

    async def _promote(self) -> None:
        if delayed := [job for job in await self._unfinished() if job.status == "delayed"]:
            await self._try(self.store.promote(GROUP, self.random.choice(delayed).id))

    async def _configure(self) -> None:
        self.limit, self.is_strict = self.random.choice([1, 1, 2, 3, None]), self.random.random() < 0.5
        is_fair = self.random.random() < 0.5
        settings = GroupSettings(
            key_concurrency=self.limit, key_strict=self.is_strict, fair_keys=is_fair, delivery_limit=2
        )
        await self.store.configure(GROUP, settings)

    async def _settle(self) -> None:
        await self.store.maintenance.settle(self.random.choice([1, 2, 100]))

    async def _pass(self) -> None:
        await reap_after(self.store, self.random.choice([1, 6, 21]))

    async def _try(self, call: Any) -> None:
        """Late reports and changes that are refused change nothing."""
        try:
            await call
        except (TitanError, Duplicate):
            return

    async def _unfinished(self) -> list[Job]:
        return (await self.store.list(GROUP, 1000, statuses=UNFINISHED))[0]

    async def check(self) -> None:
        """No act queues a job past the limit, and of a key and priority the first that waits gets the first place."""
        unfinished = await self._unfinished()
        placed = Counter(job.key for job in unfinished if job.key and job.status != "delayed")
        for key, n in placed.items():
            assert n <= max(self.limit or n, self.placed[key]), (key, n, self.limit)
        held = {job.id: job for job in unfinished if job.waits_for and job.waits_for.key}
        came = [
            job
            for job in unfinished
            if job.id in self.held
            and job.status == "queued"
            and not job.after  # one that ran and waited has its old rank
        ]
        for job in came:
            before = [
                other
                for other in held.values()
                if (other.key, other.priority, other.deliveries) == (job.key, job.priority, 0)
                and self.held.get(other.id, self.acts) < self.held[job.id]
            ]
            assert not before, (job, before)
        for key in KEYS:  # a job that is delayed may have a place too
            self.placed[key] = await self.store.redis.zcount(keys.lane(self.store.partitions[0], GROUP, key), 0, 0)
        self.held = {job_id: self.held.get(job_id, self.acts) for job_id in held}
        assert await check(self.store) == []

    async def check_rest(self) -> None:
        """Once all is settled nobody waits while a place is free; and without jobs nothing is kept of keys."""
        await settle(self.store)
        self.held.clear()
        unfinished = await self._unfinished()
        for key in {job.key for job in unfinished if job.waits_for and job.waits_for.key}:
            lane = keys.lane(self.store.partitions[0], GROUP, key)
            assert await self.store.redis.zcount(lane, 0, 0) >= (self.limit or 10**6), (key, unfinished)
        for job in unfinished:
            await self.store.cancel(GROUP, job.id)
        await settle(self.store)
        assert (await self.store.lanes.list(GROUP, 9)).keys == []
        assert await check(self.store) == []


@pytest.mark.parametrize("backend", ["valkey"])
@pytest.mark.parametrize("seed", range(12))
async def test_no_key_has_too_many_jobs(store: Store, seed: int) -> None:
    """With every way to come into the queue and out of it, limits that change, and settlements at any time."""
    store.now = str(NOW)
    await store.order.set("fair" if seed % 2 else "fifo")
    tenants = Tenants(store, Random(seed))
    for _ in range(ACTS):
        await tenants.act()
        await tenants.check()
    await tenants.check_rest()
