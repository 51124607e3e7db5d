"""The load: producers that repeat until they are told, consumers that finish, hang, or report too late."""

import asyncio
import random
import sys
import time
from contextlib import suppress
from typing import Any, Self

import aiohttp

from tests.system.chaos.ledger import Delivery, Ledger

GROUP = "chaos"
LEASE_S = 2
MAX_BACKLOG = 500
"""Producers wait while so many jobs wait, so that a slow machine can finish them all in the end."""

_JOBS = f"/v1/groups/{GROUP}/jobs"
_SICK = (aiohttp.ClientError, TimeoutError, ConnectionError)


class Load:
    """Everyone asks either broker. Use it as an async context manager; `stop_producing` and then `stop` end it."""

    def __init__(self, urls: list[str], ledger: Ledger, seed: int, rate: float) -> None:
        self._urls = urls
        self._ledger = ledger
        self._random = random.Random(seed)
        self._pause_s = 1 / rate
        self._is_producing = True
        self._tasks: list[asyncio.Task[None]] = []
        self._producers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20))
        await self.ask_until_told("PUT", f"/v1/groups/{GROUP}", {"group": {"delivery_limit": 1000}})
        self._producers = [asyncio.create_task(self._produce(number)) for number in range(2)]
        self._tasks = [asyncio.create_task(self._consume()) for _ in range(4)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in (*self._tasks, *self._producers):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._producers, return_exceptions=True)
        await self._session.close()

    async def stop_producing(self) -> None:
        """No more jobs; those on their way are acknowledged or given up."""
        self._is_producing = False
        await asyncio.gather(*self._producers)

    async def drained(self, limit_s: float) -> bool:
        """Wait until every job is finished; whether they were in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                while True:
                    _, answer = await self.ask_until_told("GET", f"/v1/groups/{GROUP}")
                    counts = answer["group"]["counts"]
                    if not sum(counts.get(status, 0) for status in ("delayed", "queued", "running")):
                        return True
                    await asyncio.sleep(0.2)
        return False

    async def kept(self) -> list[dict[str, Any]]:
        """All jobs that the store has."""
        jobs: list[dict[str, Any]] = []
        cursor = ""
        while True:
            _, page = await self.ask_until_told("GET", f"{_JOBS}?n=1000&cursor={cursor}")
            jobs += page["jobs"]
            cursor = page.get("cursor", "")
            if not cursor:
                return jobs

    def crashes(self) -> list[str]:
        """What ended a producer or consumer that should not have ended."""
        done = [task for task in (*self._tasks, *self._producers) if task.done() and not task.cancelled()]
        return [repr(fault) for task in done if (fault := task.exception())]

    async def ask(self, method: str, path: str, body: object = None, wait_s: float = 0, **headers: str) -> Any:
        """Status and body of one request to a broker by chance; 0 where there was no answer."""
        began = time.monotonic()
        try:
            url = self._random.choice(self._urls) + path
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            async with self._session.request(method, url, json=body, headers=names) as answer:
                told = await answer.json() if answer.status != 204 else None
                self._ledger.answered(answer.status, max(0, time.monotonic() - began - wait_s))
                return answer.status, told
        except _SICK:
            self._ledger.answered(0, 0)
            return 0, None

    async def ask_until_told(self, method: str, path: str, body: object = None, **headers: str) -> Any:
        """Repeat while the outcome is not known; the last answer."""
        while True:
            status, told = await self.ask(method, path, body, **headers)
            if status and status < 500:
                return status, told
            await asyncio.sleep(self._random.uniform(0.05, 0.3))

    async def _produce(self, number: int) -> None:
        count = 0
        while self._is_producing:
            if self._ledger.backlog > MAX_BACKLOG:
                await asyncio.sleep(0.1)
                continue
            count += 1
            batch, n = f"{number}-{count}", self._random.randint(1, 10)
            jobs = [{"image": "x", "payload": f"{batch}.{i}", "timeout": LEASE_S} for i in range(n)]
            path = _JOBS + ("?durable=1" if self._random.random() < 0.03 else "")
            self._ledger.sent[batch] = n
            while True:
                status, told = await self.ask("POST", path, {"jobs": jobs}, Idempotency_Key=batch)
                if status == 201:
                    self._ledger.acknowledged[batch] = [job["id"] for job in told["jobs"]]
                    break
                if self._random.random() < 0.1:
                    break  # it is never known
                await asyncio.sleep(self._random.uniform(0.05, 0.3))
            await asyncio.sleep(self._random.uniform(0, 2) * self._pause_s)

    async def _consume(self) -> None:
        while True:
            wait_s = self._random.choice((0, 1))
            status, told = await self.ask("GET", f"/v1/jobs?n=10&wait={wait_s}&group={GROUP}", wait_s=wait_s)
            if status != 200:
                await asyncio.sleep(self._random.uniform(0.05, 0.3))
                continue
            if not told["jobs"]:
                await asyncio.sleep(0.05)
            await asyncio.gather(*(self._work(self._ledger.took(job)) for job in told["jobs"]))

    async def _work(self, delivery: Delivery) -> None:
        chance = self._random.random()
        if chance < 0.01:
            return  # it is forgotten
        if chance < 0.03:
            await asyncio.sleep(LEASE_S + self._random.uniform(0, 2))  # it hangs, and reports too late
        path = f"{_JOBS}/{delivery.job_id}/success"
        status, _ = await self.ask_until_told("POST", path, {}, Titan_Lease=delivery.lease)
        self._ledger.reported(delivery, status)


async def victim(urls: list[str]) -> None:
    """A consumer that holds what it takes until it is killed; it prints each job."""
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                url = random.choice(urls)
                async with session.get(f"{url}/v1/jobs?n=2&wait=1&group={GROUP}") as answer:
                    print((await answer.text()).replace("\n", " ") if answer.status == 200 else "{}", flush=True)
            except _SICK:
                await asyncio.sleep(0.1)
            await asyncio.sleep(0.5)


if __name__ == "__main__":
    asyncio.run(victim(sys.argv[1:]))
