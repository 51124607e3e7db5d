"""A part of the load: jobs with keys, in groups that limit how many of a key run at once, and how many start in a time.

One group is strict: the jobs of a key run one after another, in the order in which they were enqueued. The order of all
groups changes between fifo and fair meanwhile.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from broker.core.states import FINISHED
from broker.core.timestamps import milliseconds
from tests.system.chaos.ledger import Delivery
from tests.system.chaos.part_load import Found, PartLoad, all_of

STRICT, LOOSE = "lanes-0", "lanes-1"
"""The groups. They may be in different partitions."""
RATE = {"jobs": 12, "per": 1, "burst": 6}
SETTINGS: Mapping[str, dict[str, Any]] = {
    STRICT: {"key_concurrency": 1, "key_strict": True},
    LOOSE: {"key_concurrency": 2, "rate_limit": RATE},
}
KEYS = tuple("abcdef")
_PAUSE_S = 0.4


class LaneLoad(PartLoad):
    """Makes jobs with keys until `judged`; others take them, fail some, and lose some. `lease_s`: of each job."""

    async def judged(
        self,
        limit_s: float,
        deliveries: Mapping[str, Sequence[Delivery]],
        failures: Mapping[str, Iterable[str]],
        *,
        may_lose: bool,
    ) -> dict[str, int]:
        """The figures, when all jobs have ended or the time has. `deliveries` and `failures`: what consumers saw.

        `may_lose`: the store may have forgotten deliveries; only that nothing of a key is left is promised then.
        """
        jobs: dict[str, Found] = {}

        async def have_ended() -> bool:
            jobs.update({group: await all_of(self._ask, group, "jobs") for group in SETTINGS})
            return all(job["status"] in FINISHED for found in jobs.values() for job in found)

        await self._until(limit_s, have_ended)
        figures = judge(jobs, self._acknowledged, deliveries, failures)
        figures = dict.fromkeys(figures, 0) if may_lose else figures
        return figures | {"lanes left": await self._left(limit_s)}

    async def _left(self, limit_s: float) -> int:
        """How many keys have places or waiters in the end, a settlement after the last job."""
        left = [len(self._acknowledged)]

        async def is_empty() -> bool:
            answers = [await self._ask("GET", f"/v1/groups/{group}/keys", group=group) for group in SETTINGS]
            left.append(sum(len(answer.told["keys"]) for answer in answers if answer.status == 200))
            return not left[-1]

        await self._until(min(limit_s, 5), is_empty)
        return left[-1]

    async def _produce(self) -> None:
        made = 0
        while not self._is_last:
            made += 1
            if made % 8 == 1:
                order = self._random.choice(("fair", "fifo"))
                await self._ask("PUT", "/v1/settings", {"settings": {"order": order}})
            for group, n in ((STRICT, 1), (LOOSE, 2)):
                await self._enqueue(group, made, n)
            await asyncio.sleep(self._random.uniform(0, 2) * _PAUSE_S)

    async def _enqueue(self, group: str, made: int, n: int) -> None:
        jobs = [
            {"image": "x", "payload": f"{made}.{i}", "timeout": self._lease_s, "key": self._random.choice(KEYS)}
            for i in range(n)
        ]
        path = f"/v1/groups/{group}/jobs"
        answer = await self._ask("POST", path, {"jobs": jobs}, group=group, Idempotency_Key=f"{group}.{made}")
        if answer.status == 201:
            self._acknowledged |= {job["id"] for job in answer.told["jobs"]}


def judge(
    jobs: Mapping[str, Found],
    acknowledged: Iterable[str],
    deliveries: Mapping[str, Sequence[Delivery]],
    failures: Mapping[str, Iterable[str]],
) -> dict[str, int]:
    """The figures that must be 0, and how many jobs there were, given all jobs in the end and what consumers saw."""
    kept = {job["id"]: job for found in jobs.values() for job in found}
    figures = Counter[str]()
    for group, settings in SETTINGS.items():
        by_key: dict[str, Found] = defaultdict(list)
        for job in jobs[group]:
            by_key[job["key"]].append(job)
        for own in by_key.values():
            spans = [span for job in own for span in held_spans(job, deliveries, failures, settings)]
            figures["keys over their limit"] += most_at_once(spans) > settings["key_concurrency"]
            figures["keys out of order"] += "key_strict" in settings and _is_out_of_order(own)
    starts = sorted(one.at for job in jobs[LOOSE] for one in deliveries.get(job["id"], ()))
    left = [job for job in kept.values() if job["status"] != "succeeded"]
    return {
        "jobs with a lane": len(kept),
        "keys over their limit": figures["keys over their limit"],
        "keys out of order": figures["keys out of order"],
        "rate exceeded": int(_exceeds_rate(starts)),
        "lane jobs left": len(left) + sum(job_id not in kept for job_id in acknowledged),
    }


def held_spans(
    job: dict[str, Any],
    deliveries: Mapping[str, Sequence[Delivery]],
    failures: Mapping[str, Iterable[str]],
    settings: Mapping[str, Any],
) -> list[tuple[int, float]]:
    """From when until when a job had a place of its key for sure, ms.

    A place is kept from a delivery to the next one and to the end, but for a job that failed and waits for its next
    try: it keeps its place only where that is strict.
    """
    end = milliseconds(job["completed_at"]) if job.get("completed_at") else float("inf")
    own = sorted(deliveries.get(job["id"], ()), key=lambda delivery: delivery.number)
    if own and "key_strict" in settings:
        return [(own[0].at, end)]
    ends = [*(after.at for after in own[1:]), end]
    failed = set(failures.get(job["id"], ()))
    return [(one.at, until) for one, until in zip(own, ends, strict=True) if one.lease not in failed] if own else []


def most_at_once(spans: Iterable[tuple[int, float]]) -> int:
    """How many of these spans overlap at most; one that ends when another begins does not."""
    changes = sorted([(end, -1) for _, end in spans] + [(begin, 1) for begin, _ in spans])
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


def _is_out_of_order(jobs: Found) -> bool:
    """Whether jobs of one key ended in another order than that in which one producer enqueued them."""
    ended = [job for job in jobs if job.get("completed_at")]
    ended.sort(key=lambda job: int(job["payload"].partition(".")[0]))
    return any(milliseconds(a["completed_at"]) > milliseconds(b["completed_at"]) for a, b in pairwise(ended))


def _exceeds_rate(starts: Sequence[int]) -> bool:
    """Whether in any window there were more deliveries than the burst and, for its length, the rate."""
    each_ms = 1000 * RATE["per"] / RATE["jobs"]
    spent, before = 0.0, 0
    for at in starts:
        spent = max(0.0, spent - (at - before) / each_ms) + 1
        if spent > RATE["burst"] + 0.1:
            return True
        before = at
    return False
