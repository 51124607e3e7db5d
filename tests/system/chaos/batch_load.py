"""A part of the load: batches, some of them open for a while, whose members may fail; each callback must exist once."""

import asyncio
from collections import Counter
from collections.abc import Collection
from typing import Any

from tests.system.chaos.part_load import Ask, Found, PartLoad, all_of

BATCHES = "batch-0"
"""The group of the batches and of their callbacks."""
MEMBERS = 4
CALLBACKS = ("on_failed", "on_succeeded", "on_over")
_PAUSE_S = 0.5


class BatchLoad(PartLoad):
    """Makes batches until `judged`; others take and end their members. `lease_s`: of each job."""

    def __init__(self, ask_until_told: Ask, lease_s: int, seed: int) -> None:
        super().__init__(ask_until_told, lease_s, seed)
        self._made = 0

    async def judged(self, limit_s: float, *, may_lose: bool) -> dict[str, int]:
        """The figures, when all batches have ended or the time has. `may_lose`: the store may have lost some."""
        batches: Found = []

        async def have_ended() -> bool:
            batches[:] = await all_of(self._ask, BATCHES, "batches")
            return bool(batches) and all("ended_at" in batch for batch in batches)

        await self._until(limit_s, have_ended)
        figures = judge(batches, await all_of(self._ask, BATCHES, "jobs"), self._acknowledged)
        return dict.fromkeys(figures, 0) if may_lose else figures

    async def _produce(self) -> None:
        while not self._is_last:
            self._made += 1
            await self._batch(f"b{self._made}")
            await asyncio.sleep(self._random.uniform(0, 2) * _PAUSE_S)

    async def _batch(self, name: str) -> None:
        jobs = [{"image": "x", "payload": f"{name}.{n}", **self._settings()} for n in range(MEMBERS)]
        callbacks = {of: {"image": "x", "payload": f"{name}.{of}", "timeout": self._lease_s} for of in CALLBACKS}
        n_first = self._random.choice((0, 2, MEMBERS))
        new = {"name": name, "jobs": jobs[:n_first], "open": n_first < MEMBERS, **callbacks}
        made = await self._post("", {"batch": new}, name)
        if made is None:
            return
        batch_id = made["batch"]["id"]
        if n_first < MEMBERS:
            await self._post(f"/{batch_id}/jobs", {"jobs": jobs[n_first:]}, f"{name}-more")
            await self._post(f"/{batch_id}/close", None, "")
        self._acknowledged.add(batch_id)

    def _settings(self) -> dict[str, int]:
        return {"timeout": self._lease_s, "max_retries": self._random.choice((0, 2)), "retries_delay": 0}

    async def _post(self, path: str, body: object, key: str) -> Any:
        """The answer; None for a refusal, as when the store has lost the batch."""
        keys = {"Idempotency_Key": key} if key else {}
        answer = await self._ask("POST", f"/v1/groups/{BATCHES}/batches{path}", body, group=BATCHES, **keys)
        return answer.told if answer.status < 300 else None


def judge(batches: Found, jobs: Found, acknowledged: Collection[str]) -> dict[str, int]:
    """The figures that must be 0, and how many batches there were, given all batches and jobs in the end."""
    made = Counter((job["batch"]["id"], job["batch"]["callback"]) for job in jobs if "callback" in job.get("batch", {}))
    names = Counter(batch["name"] for batch in batches)
    ended = [batch for batch in batches if "ended_at" in batch]
    kept = {batch["id"] for batch in batches}
    wrong = [batch for batch in ended if {name for name in CALLBACKS if made[batch["id"], name]} != expected(batch)]
    return {
        "batches with callbacks": len(batches),
        "batches left": len(batches) - len(ended) + sum(batch_id not in kept for batch_id in acknowledged),
        "batches twice": sum(n > 1 for n in names.values()),
        "batches miscounted": sum(_counts(batch) != _ends(batch, jobs) for batch in ended),
        "callbacks twice": sum(n > 1 for n in made.values()),
        "callbacks wrong": len(wrong),
    }


def expected(batch: dict[str, Any]) -> set[str]:
    """The callbacks of a batch that has ended, by its counts."""
    counts = batch["counts"]
    found = {"on_over"} | ({"on_failed"} if counts["failed"] else set())
    return found | ({"on_succeeded"} if counts["succeeded"] == counts["total"] else set())


def _counts(batch: dict[str, Any]) -> tuple[int, int, int]:
    counts = batch["counts"]
    return counts["total"], counts["succeeded"], counts["failed"]


def _ends(batch: dict[str, Any], jobs: Found) -> tuple[int, int, int]:
    """The same by the jobs themselves. A failure that was retried automatically is no end of a member."""
    own = [job for job in jobs if job.get("batch", {}) == {"id": batch["id"]}]
    ends = Counter(job["status"] for job in own if not (job["status"] == "failed" and job.get("retry_at")))
    return sum(ends.values()), ends["succeeded"], ends["failed"]
