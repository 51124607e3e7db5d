"""A part of the load: jobs that fail for good, each of which has one copy in the group for dead letters."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from broker.core.states import FINISHED
from tests.system.chaos.part_load import Ask, Found, PartLoad, all_of

DOOMED = "doomed-0"
"""The group whose jobs fail, many of them for good. Its copies go to a group of the same partition."""
_PAUSE_S = 0.4


def grave_of(partition_of: Callable[[str], int]) -> str:
    """The group for the dead letters: the first one that is in the same partition."""
    return next(name for name in (f"grave-{n}" for n in range(1000)) if partition_of(name) == partition_of(DOOMED))


class DeadLetterLoad(PartLoad):
    """Makes jobs until `judged`; consumers fail many of them, and nobody takes the copies. `lease_s`: of each job."""

    def __init__(self, ask_until_told: Ask, lease_s: int, seed: int, grave: str) -> None:
        super().__init__(ask_until_told, lease_s, seed)
        self._grave = grave

    async def judged(self, limit_s: float, *, may_lose: bool) -> dict[str, int]:
        """The figures, when all jobs have ended or the time has. `may_lose`: nothing is promised."""
        jobs: Found = []

        async def have_ended() -> bool:
            jobs[:] = await all_of(self._ask, DOOMED, "jobs")
            return bool(jobs) and all(job["status"] in FINISHED for job in jobs)

        await self._until(limit_s, have_ended)
        figures = judge(jobs, await all_of(self._ask, self._grave, "jobs"), self._acknowledged)
        return dict.fromkeys(figures, 0) if may_lose else figures

    async def _produce(self) -> None:
        made = 0
        while not self._is_last:
            made += 1
            jobs = [{"image": "x", "payload": f"x{made}.{n}", "timeout": self._lease_s} for n in range(3)]
            jobs[0] |= {"max_retries": 1, "retries_delay": 0}
            path = f"/v1/groups/{DOOMED}/jobs"
            answer = await self._ask("POST", path, {"jobs": jobs}, group=DOOMED, Idempotency_Key=f"x{made}")
            if answer.status == 201:
                self._acknowledged |= {job["id"] for job in answer.told["jobs"]}
            await asyncio.sleep(self._random.uniform(0, 2) * _PAUSE_S)


def judge(jobs: Found, copies: Found, acknowledged: Iterable[str]) -> dict[str, int]:
    """The figures that must be 0, and how many jobs failed for good, given all jobs and copies in the end."""
    kept = {job["id"]: job for job in jobs}
    dead = {job["id"] for job in jobs if job["status"] == "failed" and not job.get("retry_at")}
    copied = Counter(copy["retry_of"] for copy in copies)
    left: list[Any] = [job for job in jobs if job["status"] not in FINISHED]
    return {
        "jobs failed for good": len(dead),
        "dead letters lost": len(dead - copied.keys()),
        "dead letters twice": sum(n > 1 for n in copied.values()),
        "dead letters wrong": len(copied.keys() - dead),
        "doomed jobs left": len(left) + sum(job_id not in kept for job_id in acknowledged),
    }
