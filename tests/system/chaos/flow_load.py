"""A part of the load: diamonds of jobs that wait for each other, and jobs with a few unique keys; each is counted."""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any

from broker.core.states import FINISHED
from broker.core.timestamps import milliseconds
from tests.system.chaos.ledger import Answer, Delivery

FLOWS, KEYED = "flow-0", "keyed-0"
"""The groups. They may be in different partitions."""
DIAMOND: Mapping[str, Sequence[str]] = {"top": (), "left": ("top",), "right": ("top",), "last": ("left", "right")}
"""The jobs of a diamond, and for which others of it each waits."""
PARENTS = DIAMOND | {"part": ()}
"""With the job that a top may enqueue while it runs, to wait for it."""
KEYS = ("a", "b", "c")
POLICIES = ("existing", "follow", "follow", "replace")
_PAGE = 1000
_PAUSE_S = 0.4

Ask = Callable[..., Awaitable[Answer]]
Jobs = list[dict[str, Any]]


class FlowLoad:
    """Makes diamonds and jobs with keys until `judged`; others take and finish them. `lease_s`: of each job."""

    def __init__(self, ask_until_told: Ask, lease_s: int, seed: int) -> None:
        self._ask = ask_until_told
        self._lease_s = lease_s
        self._random = random.Random(seed)
        self._is_last = False
        self._made = 0
        self._acknowledged: set[str] = set()
        self._waited: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> asyncio.Task[None]:
        """Begin to produce."""
        self._task = asyncio.create_task(self._produce())
        return self._task

    def stop(self) -> None:
        """No more jobs."""
        self._is_last = True

    def must_wait(self, job: dict[str, Any]) -> bool:
        """Whether a job that a consumer took is held until a part of it has ended: half of the tops are, once."""
        name, _, ref = job.get("payload", "").partition(".")
        return job["group_name"] == FLOWS and ref == "top" and not job.get("has_inputs") and int(name[1:]) % 2 == 0

    async def wait(self, job: dict[str, Any], lease: str) -> None:
        """Enqueue the part, and have the job wait for it."""
        name = job["payload"].partition(".")[0]
        part = {"image": "x", "payload": f"{name}.part", "timeout": self._lease_s}
        [part_id] = await self._enqueue(FLOWS, [part], f"{name}.part")
        path = f"/v1/groups/{FLOWS}/jobs/{job['id']}/wait"
        answer = await self._ask("POST", path, {"after": [part_id]}, group=FLOWS, Titan_Lease=lease)
        if answer.status == 200:
            self._waited.add(job["id"])

    async def judged(
        self, limit_s: float, deliveries: Mapping[str, Sequence[Delivery]], *, may_lose: bool
    ) -> dict[str, int]:
        """The figures, when all jobs have ended or the time has. `deliveries`: those that consumers saw, by job.

        `may_lose`: the store may have lost what was acknowledged, so that nothing is promised.
        """
        assert self._task is not None
        self._is_last = True
        flows: Jobs = []
        keyed: Jobs = []
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._task
                while not flows or any(job["status"] not in FINISHED for job in flows + keyed):
                    flows, keyed = await jobs_in(self._ask, FLOWS), await jobs_in(self._ask, KEYED)
        unique = await self._ask("GET", f"/v1/groups/{KEYED}/unique", group=KEYED)
        figures = judge(flows, keyed, self._acknowledged, deliveries, self._waited)
        figures |= {"keys held in the end": len(unique.told["keys"])}
        return dict.fromkeys(figures, 0) if may_lose else figures

    async def _produce(self) -> None:
        while not self._is_last:
            self._made += 1
            await self._diamond(f"d{self._made}")
            for _ in range(3):
                await self._keyed(f"k{self._made}.{self._random.randrange(10**9)}")
            await asyncio.sleep(self._random.uniform(0, 2) * _PAUSE_S)

    async def _diamond(self, name: str) -> None:
        jobs = [
            {"ref": ref, "image": "x", "payload": f"{name}.{ref}", "timeout": self._lease_s} | _after(parents)
            for ref, parents in DIAMOND.items()
        ]
        await self._enqueue(FLOWS, self._random.sample(jobs, len(jobs)), name)

    async def _keyed(self, name: str) -> None:
        unique = {"key": self._random.choice(KEYS), "on_conflict": self._random.choice(POLICIES)}
        job = {"image": "x", "payload": f"{unique['key']}.{name}", "timeout": self._lease_s, "unique": unique}
        await self._enqueue(KEYED, [job], name)

    async def _enqueue(self, group: str, jobs: Jobs, name: str) -> list[str]:
        answer = await self._ask("POST", f"/v1/groups/{group}/jobs", {"jobs": jobs}, group=group, Idempotency_Key=name)
        ids = [job["id"] for job in answer.told["jobs"]] if answer.status == 201 else []
        self._acknowledged |= set(ids)
        return ids


async def jobs_in(ask: Ask, group: str) -> Jobs:
    """All jobs of a group; none if there is no such group."""
    found: Jobs = []
    cursor, is_more = "", True
    while is_more:
        answer = await ask("GET", f"/v1/groups/{group}/jobs?n={_PAGE}&cursor={cursor}", group=group)
        page = answer.told if answer.status == 200 else {"jobs": []}
        found += page["jobs"]
        cursor = page.get("cursor", "")
        is_more = bool(cursor)
    return found


def judge(
    flows: Jobs,
    keyed: Jobs,
    acknowledged: Iterable[str],
    deliveries: Mapping[str, Sequence[Delivery]],
    waited: Iterable[str] = (),
) -> dict[str, int]:
    """The figures that must be 0, and how many jobs there were, given all jobs in the end and what consumers saw.

    `waited`: the ids of jobs that waited while they ran.
    """
    kept = {job["id"]: job for job in flows + keyed}
    names = Counter(job["payload"] for job in flows)
    whole = {name: job for job in flows for name in [job["payload"]]}
    early = [
        job
        for job in flows
        for parent in _parents_of(job["payload"])
        if parent not in whole or _first(deliveries.get(job["id"], ())) < _end(whole[parent])
    ]
    early += [kept[job_id] for job_id in waited if job_id in kept and _ran_early(kept[job_id], whole, deliveries)]
    left = [job for job in flows if job["status"] != "succeeded"]
    left += [job for job in keyed if job["status"] != "succeeded" and job.get("reason") != "replaced"]
    runs: dict[str, list[tuple[int, float, str]]] = defaultdict(list)
    for job in keyed:
        runs[job["payload"][0]] += [(*run, job["id"]) for run in _runs(job, deliveries.get(job["id"], ()))]
    return {
        "jobs of flows": len(flows),
        "jobs with keys": len(keyed),
        "flow jobs early": len(early),
        "flow jobs twice": sum(n > 1 for n in names.values()),
        "flow jobs left": len(left) + sum(job_id not in kept for job_id in acknowledged),
        "keys run twice": sum(_overlaps(found) for found in runs.values()),
    }


def _ran_early(top: dict[str, Any], whole: Mapping[str, Any], deliveries: Mapping[str, Sequence[Delivery]]) -> bool:
    """Whether a job that waited for its part ran again before that had ended, or never."""
    part = whole.get(f"{top['payload'].partition('.')[0]}.part")
    last = max((delivery.at for delivery in deliveries.get(top["id"], ())), default=0)
    return part is None or last < _end(part)


def _after(parents: Sequence[str]) -> dict[str, Any]:
    return {"after": list(parents)} if parents else {}


def _parents_of(payload: str) -> list[str]:
    name, _, ref = payload.partition(".")
    return [f"{name}.{parent}" for parent in PARENTS[ref]]


def _first(deliveries: Sequence[Delivery]) -> float:
    """When a job was delivered first, ms; of one that nobody saw never."""
    return min((delivery.at for delivery in deliveries), default=float("inf"))


def _end(job: dict[str, Any]) -> float:
    return milliseconds(job["completed_at"]) if job.get("completed_at") else float("inf")


def _runs(job: dict[str, Any], deliveries: Sequence[Delivery]) -> list[tuple[int, float]]:
    """From when until when a job ran, ms: to the end of its lease, to its next delivery, or to its own end."""
    in_order = sorted(deliveries, key=lambda delivery: delivery.number)
    ends = [*(after.at for after in in_order[1:]), _end(job)]
    return [(run.at, min(run.ends, end)) for run, end in zip(in_order, ends, strict=True)] if in_order else []


def _overlaps(runs: list[tuple[int, float, str]]) -> int:
    """How often another job ran before the one before it had ended."""
    return sum(after[0] < before[1] and after[2] != before[2] for before, after in pairwise(sorted(runs)))
