"""A part of the load: bulks promote, cancel and retry jobs while faults are injected, and each job is counted."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from broker.models.bulk import ENDED
from tests.system.chaos.ledger import Answer

GROUPS = ("bulk-0", "bulk-1", "bulk-2")
"""Paused from before the first fault on, so that nobody takes their jobs. They may be in different partitions."""
JOBS, BY_HAND, RATE = 100, 10, 20
"""Jobs of a round, how many of them are promoted one by one, and how many a bulk may act on a second."""
_PAGE = 1000

Ask = Callable[..., Awaitable[Answer]]


class BulkLoad:
    """Rounds: some delayed jobs are promoted, cancelled and retried, by a bulk each.

    A bulk that the store lost in a failover is begun again.
    """

    def __init__(self, ask_until_told: Ask) -> None:
        self._ask = ask_until_told
        self._begun = 0
        self._is_last = False
        self._gone = self._miscounted = 0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> asyncio.Task[None]:
        """Pause the groups, and begin the first round."""
        for group in GROUPS:
            await self._told(group, "PUT", "", {"group": {"paused": True}})
        self._task = asyncio.create_task(self._rounds())
        return self._task

    async def judged(self, limit_s: float, *, may_lose: bool) -> dict[str, int]:
        """The figures, when the last round has ended, or when the time is over.

        `may_lose`: the store may have lost what was acknowledged, so another bulk does the rest.
        """
        assert self._task is not None
        self._is_last = True
        is_over = False
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._task
                if may_lose:
                    for group in GROUPS:
                        await self._run_bulk(group, "retry", status=["cancelled"], retried=False)
                is_over = True
        left = twice = 0
        for group in GROUPS:
            of_group = await self._unlike_promised(group, may_lose=may_lose)
            left, twice = left + of_group[0], twice + of_group[1]
        lost = dict.fromkeys(("bulk gone", "bulk miscounted"), 0)
        if not may_lose:
            lost = {"bulk gone": self._gone, "bulk miscounted": self._miscounted}
        return {"bulk left": left, "bulk twice": twice, "bulk unended": int(not is_over), **lost}

    async def _unlike_promised(self, group: str, *, may_lose: bool) -> tuple[int, int]:
        """How many jobs of the rounds are not retried, and how many more than once."""
        jobs = await self._jobs(group)
        retries = Counter(job["retry_of"] for job in jobs if "retry_of" in job)
        of_rounds = [job for job in jobs if "retry_of" not in job]
        left = [job for job in of_rounds if not retries[job["id"]] and (job["status"] == "cancelled" or not may_lose)]
        return len(left), sum(number > 1 for number in retries.values())

    async def _rounds(self) -> None:
        number = 0
        while not (self._is_last and number):
            await self._round(GROUPS[number % len(GROUPS)], f"round {number}.")
            number += 1

    async def _round(self, group: str, name: str) -> None:
        jobs = {"jobs": [{"image": "x", "payload": name, "delay": 86_400}] * JOBS}
        made = await self._told(group, "POST", "/jobs", jobs, Idempotency_Key=name)
        for job in made["jobs"][:BY_HAND]:
            await self._told(group, "POST", f"/jobs/{job['id']}/promote")
        for action in ("promote", "cancel", "retry"):
            status = {"status": ["cancelled"]} if action == "retry" else {}
            await self._run_bulk(group, action, text=name, **status)

    async def _run_bulk(self, group: str, action: str, **filters: Any) -> None:
        bulk = await self._begin(group, action, filters)
        while bulk["state"] not in ENDED:
            await asyncio.sleep(1)
            shown = (await self._ask("GET", f"/v1/bulk/{bulk['id']}")).told or {}
            if "bulk" not in shown:
                self._gone += 1
            bulk = shown["bulk"] if "bulk" in shown else await self._begin(group, action, filters)
        self._miscounted += abs(bulk.get("matched", 0) - bulk.get("done", 0))

    async def _begin(self, group: str, action: str, filters: dict[str, Any]) -> dict[str, Any]:
        """Begin a bulk; when the store lost the group, it has nothing to do."""
        self._begun += 1
        body = {"action": action, "rate": RATE, **filters}
        begun = await self._told(group, "POST", "/bulk", body, Idempotency_Key=f"bulk {self._begun}")
        bulk: dict[str, Any] = begun.get("bulk", {"state": "done"})
        return bulk

    async def _jobs(self, group: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        cursor, is_more = "", True
        while is_more:
            page = await self._told(group, "GET", f"/jobs?n={_PAGE}&cursor={cursor}")
            found += page.get("jobs", [])
            cursor = page.get("cursor", "")
            is_more = bool(cursor)
        return found

    async def _told(self, group: str, method: str, path: str, body: object = None, **headers: str) -> dict[str, Any]:
        answer = await self._ask(method, f"/v1/groups/{group}{path}", body, group=group, **headers)
        told: dict[str, Any] = answer.told or {}
        return told
