"""The load: producers that repeat until they are told, consumers that finish, hang, or report too late."""

import asyncio
import random
import sys
import time
from contextlib import suppress
from typing import Any, Self

import aiohttp

from tests.system.chaos.batch_load import BATCHES, BatchLoad
from tests.system.chaos.bulk_load import BulkLoad
from tests.system.chaos.dead_letter_load import DOOMED, DeadLetterLoad, grave_of
from tests.system.chaos.flow_load import FLOWS, KEYED, FlowLoad
from tests.system.chaos.lane_load import SETTINGS as LANES
from tests.system.chaos.lane_load import LaneLoad
from tests.system.chaos.ledger import Answer, Delivery, Ledger
from tests.system.chaos.outages import Outages
from tests.system.chaos.schedule_load import SCHEDULED, ScheduleLoad
from tests.system.chaos.windows import Span

LEASE_S = 2
POLICY = {"max": 100, "backoff": "constant", "delay": 1, "jitter": 50}
"""Of one group of each partition, whose consumers report failures: each must be forgiven, and once."""
MAX_BACKLOG = 500
"""Producers wait while so many jobs wait, so that a slow machine can finish them all in the end."""
WAITING = ("delayed", "queued", "running")
_CONSUMERS = 4
_SICK = (aiohttp.ClientError, TimeoutError, ConnectionError)


class Load:
    """Everyone asks either broker. Use it as an async context manager; `stop_producing` and then `stop` end it.

    `groups` has the groups of each partition. Each partition has a producer and a consumer of its own, so that one that
    is away does not keep the others from their load.
    """

    def __init__(
        self, urls: list[str], groups: list[list[str]], ledger: Ledger, seed: int, rate: float, *, is_durable: bool
    ) -> None:
        self._urls = urls
        self._groups = groups
        self._names = [name for names in groups for name in names]
        self._forgiving = {FLOWS, KEYED, *LANES, *(names[-1] for names in groups)}
        self._failing = self._forgiving | {BATCHES, DOOMED, SCHEDULED}
        self._ledger = ledger
        self._random = random.Random(seed)
        self._producer_count = max(2, len(groups))
        self._pause_s = self._producer_count / (2 * rate)
        self._durable_share = 0.03 if is_durable else 0.0
        self._is_producing = True
        self._gone = 0
        self.outages = Outages()
        self.bulk = BulkLoad(self.ask_until_told)
        self.flows = FlowLoad(self.ask_until_told, LEASE_S, seed)
        self.batches = BatchLoad(self.ask_until_told, LEASE_S, seed)
        self._grave = grave_of(ledger.partition_of)
        self.dead_letters = DeadLetterLoad(self.ask_until_told, LEASE_S, seed, self._grave)
        self.schedules = ScheduleLoad(self.ask_until_told, LEASE_S, seed)
        self.lanes = LaneLoad(self.ask_until_told, LEASE_S, seed)
        self._parts = (self.flows, self.batches, self.dead_letters, self.schedules, self.lanes)
        self._tasks: list[asyncio.Task[None]] = []
        self._producers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20))
        for name in (*self._names, FLOWS, KEYED, BATCHES, DOOMED, SCHEDULED, *LANES):
            settings: dict[str, Any] = {"delivery_limit": 1000} | ({"retry": POLICY} if name in self._forgiving else {})
            settings |= LANES.get(name, {})
            if name == DOOMED:
                settings["dead_letter_to"] = self._grave
            answer = await self.ask_until_told("PUT", f"/v1/groups/{name}", {"group": settings}, group=name)
            assert answer.status < 400, answer
        own = [names for names in self._groups if len(self._groups) > 1]
        everything = [self._names if len(self._groups) == 1 else []] * _CONSUMERS
        self._producers = [asyncio.create_task(self._produce(number)) for number in range(self._producer_count)]
        consumers = [*own, *everything, *([name] for name in (FLOWS, KEYED, BATCHES, DOOMED, SCHEDULED, *LANES))]
        self._tasks = [asyncio.create_task(self._consume(names)) for names in consumers]
        self._tasks += [asyncio.create_task(self._count_gone()), await self.bulk.start()]
        self._tasks += [part.start() for part in self._parts]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in (*self._tasks, *self._producers):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._producers, return_exceptions=True)
        await self._session.close()

    async def stop_producing(self) -> None:
        """No more jobs; those on their way are acknowledged or given up."""
        self._is_producing = False
        for part in self._parts:
            part.stop()
        await asyncio.gather(*self._producers)

    async def drained(self, limit_s: float) -> bool:
        """Wait until every job is finished; whether they were in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                while await self._waiting():
                    await asyncio.sleep(0.2)
                return True
        return False

    async def kept(self) -> list[dict[str, Any]]:
        """All jobs that the store has."""
        jobs: list[dict[str, Any]] = []
        for name in self._names:
            cursor = ""
            while True:
                path = f"/v1/groups/{name}/jobs?n=1000&cursor={cursor}"
                page = (await self.ask_until_told("GET", path, group=name)).told
                jobs += page["jobs"]
                cursor = page.get("cursor", "")
                if not cursor:
                    break
        return jobs

    def crashes(self) -> list[str]:
        """What ended a producer or consumer that should not have ended."""
        done = [task for task in (*self._tasks, *self._producers) if task.done() and not task.cancelled()]
        return [repr(fault) for task in done if (fault := task.exception())]

    async def ask(
        self, method: str, path: str, body: object = None, group: str = "", wait_s: float = 0, **headers: str
    ) -> Answer:
        """One request to a broker by chance."""
        began, began_ms = time.monotonic(), time.time() * 1000
        url = self._random.choice(self._urls)
        status, told = 0, None
        with suppress(*_SICK):
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            async with self._session.request(method, url + path, json=body, headers=names) as answer:
                told = await answer.json() if answer.status != 204 else None
                status = answer.status
        now = time.monotonic()
        self._ledger.answered(status, max(0, now - began - wait_s))
        partition = self._ledger.partition_of(group)
        if method == "POST":  # the others may succeed at a server that refuses writes
            self.outages.answered(url, partition, status, began, now)
        return Answer(status, told, Span(partition, began_ms, time.time() * 1000))

    async def ask_until_told(
        self, method: str, path: str, body: object = None, group: str = "", **headers: str
    ) -> Answer:
        """Repeat while the outcome is not known; the last answer."""
        while True:
            answer = await self.ask(method, path, body, group, **headers)
            if answer.status and answer.status < 500:
                return answer
            await asyncio.sleep(self._random.uniform(0.05, 0.3))

    async def _waiting(self) -> int:
        """How many jobs the store has that are not finished."""
        counts = [await self.ask_until_told("GET", f"/v1/groups/{name}", group=name) for name in self._names]
        return sum(answer.told["group"]["counts"].get(status, 0) for answer in counts for status in WAITING)

    async def _count_gone(self) -> None:
        """Jobs that the store lost are not waiting: the backlog is what the store says, as of a second ago."""
        while True:
            await asyncio.sleep(1)
            self._gone = self._ledger.backlog - await self._waiting()

    async def _produce(self, number: int) -> None:
        names = self._groups[number % len(self._groups)]
        count = 0
        while self._is_producing:
            if self._ledger.backlog - self._gone > MAX_BACKLOG:
                await asyncio.sleep(0.1)
                continue
            count += 1
            await self._enqueue(self._random.choice(names), f"{number}-{count}")
            await asyncio.sleep(self._random.uniform(0, 2) * self._pause_s)

    async def _enqueue(self, group: str, batch: str) -> None:
        n = self._random.randint(1, 10)
        jobs = [{"image": "x", "payload": f"{batch}.{i}", "timeout": LEASE_S} for i in range(n)]
        path = f"/v1/groups/{group}/jobs" + ("?durable=1" if self._random.random() < self._durable_share else "")
        self._ledger.sent[batch] = n
        while True:
            answer = await self.ask("POST", path, {"jobs": jobs}, group, Idempotency_Key=batch)
            if answer.status == 201:
                self._ledger.enqueued(batch, [job["id"] for job in answer.told["jobs"]], answer.span)
                return
            if self._random.random() < 0.1:
                return  # it is never known
            await asyncio.sleep(self._random.uniform(0.05, 0.3))

    async def _consume(self, names: list[str]) -> None:
        """Take jobs of these groups, or of all where none is named."""
        while True:
            wait_s = self._random.choice((0, 1))
            words = "".join(f"&group={name}" for name in names)
            of = names[0] if names else ""
            answer = await self.ask("GET", f"/v1/jobs?n=10&wait={wait_s}{words}", group=of, wait_s=wait_s)
            if answer.status != 200:
                await asyncio.sleep(self._random.uniform(0.05, 0.3))
                continue
            jobs = answer.told["jobs"]
            if not jobs:
                await asyncio.sleep(0.05)
            await asyncio.gather(*(self._work(self._ledger.took(job), job) for job in jobs))

    async def _work(self, delivery: Delivery, job: dict[str, Any]) -> None:
        chance = self._random.random()
        if chance < 0.01:
            return  # it is forgotten
        if chance < 0.03:
            await asyncio.sleep(LEASE_S + self._random.uniform(0, 2))  # it hangs, and reports too late
        if chance > 0.9 and delivery.group in self._failing:
            await self._fail(delivery)
            return
        if self.flows.must_wait(job):
            self._ledger.waited(delivery)
            await self.flows.wait(job, delivery.lease)
            return
        path = f"/v1/groups/{delivery.group}/jobs/{delivery.job_id}/success"
        answer = await self.ask_until_told("POST", path, {}, delivery.group, Titan_Lease=delivery.lease)
        self._ledger.reported(delivery, answer.status, answer.span)

    async def _fail(self, delivery: Delivery) -> None:
        """Report a failure until told, so that it is repeated; its job must be done in the end all the same."""
        self._ledger.failed(delivery)
        path = f"/v1/groups/{delivery.group}/jobs/{delivery.job_id}/error"
        await self.ask_until_told("POST", path, {"reason": "chaos"}, delivery.group, Titan_Lease=delivery.lease)


async def victim(urls: list[str]) -> None:
    """A consumer that holds what it takes until it is killed; it prints each job."""
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                url = random.choice(urls)
                async with session.get(f"{url}/v1/jobs?n=2&wait=1") as answer:
                    print((await answer.text()).replace("\n", " ") if answer.status == 200 else "{}", flush=True)
            except _SICK:
                await asyncio.sleep(0.1)
            await asyncio.sleep(0.5)


if __name__ == "__main__":
    asyncio.run(victim(sys.argv[1:]))
