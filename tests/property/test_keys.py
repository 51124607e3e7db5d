"""Jobs with one unique key under random acts: how many run and wait at once, and what `titan check` finds."""

from random import Random
from typing import Literal

import pytest

from broker.core.errors import Duplicate
from broker.diagnostics.consistency import check
from broker.models.jobs import Job, NewJob
from broker.models.unique import Unique
from tests.conftest import NOW
from tests.contract.building import GROUP, reap_after
from tests.stores import Store

POLICIES: list[Literal["existing", "refuse", "replace", "push", "follow"]] = [
    "existing",
    "refuse",
    "replace",
    "push",
    "follow",
]
ACTS = 40


class Keyed:
    """A store with jobs of one key, and what runs of them."""

    def __init__(self, store: Store, random: Random) -> None:
        self.store = store
        self.random = random
        self.running: list[Job] = []
        self.number = 0

    async def act(self) -> None:
        """Any act: enqueue, take, end, cancel, retry, settle, or let time pass."""
        acts = [self._enqueue] * 2 + [self._take, self._end, self._cancel, self._retry, self._settle, self._wait]
        await self.random.choice(acts)()

    async def _enqueue(self) -> None:
        self.number += 1
        job = NewJob(
            image="x",
            payload=str(self.number),
            delay=self.random.choice([2, 5]),
            max_retries=self.random.choice([0, 0, 1]),
            retries_delay=1,
            unique=Unique(key="k", on_conflict=self.random.choice(POLICIES)),
        )
        try:
            [made] = (await self.store.enqueue(GROUP, [job])).jobs
        except Duplicate:
            return
        if made.duplicate and made.status == "delayed" and job.unique and job.unique.on_conflict in {"replace", "push"}:
            assert made.payload == job.payload

    async def _take(self) -> None:
        self.running += await self.store.next(2)

    async def _end(self) -> None:
        if self.running:
            job = self.running.pop()
            end = self.random.choice([self.store.succeed, self.store.fail])
            await end(GROUP, job.id, job.lease)

    async def _cancel(self) -> None:
        waiting, _ = await self.store.list(GROUP, 10, statuses=["delayed", "queued"])
        if waiting:
            await self.store.cancel(GROUP, self.random.choice(waiting).id)

    async def _retry(self) -> None:
        ended, _ = await self.store.list(GROUP, 50, statuses=["succeeded", "cancelled"])
        unretried = [job for job in ended if not job.retry_at]
        if unretried:
            try:
                await self.store.retry(GROUP, self.random.choice(unretried).id)
            except Duplicate:
                return

    async def _settle(self) -> None:
        await self.store.maintenance.settle(self.random.randint(1, 3))

    async def _wait(self) -> None:
        await reap_after(self.store, self.random.choice([0.5, 3]))

    async def check(self) -> None:
        """Of the jobs with the key one runs at most, and one more waits for it at most."""
        unfinished, _ = await self.store.list(GROUP, 50, statuses=["delayed", "queued", "running"])
        active = [job for job in unfinished if not job.waits_for]
        assert len(active) <= 1, unfinished
        assert len(unfinished) <= 2, unfinished
        assert await check(self.store) == []


@pytest.mark.parametrize("backend", ["valkey"])
@pytest.mark.parametrize("seed", range(12))
async def test_one_runs_and_one_waits(store: Store, seed: int) -> None:
    """Under every policy, with retries, cancels and settlements at any time."""
    store.now = str(NOW)
    keyed = Keyed(store, Random(seed))
    for _ in range(ACTS):
        await keyed.act()
        await keyed.check()
