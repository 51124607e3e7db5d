"""A part of the load: diamonds of jobs that wait for each other, and jobs with a few unique keys; each is counted."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from broker.core.states import FINISHED
from broker.core.timestamps import milliseconds
from tests.system.chaos.ledger import Delivery
from tests.system.chaos.part_load import Ask, Found, PartLoad, all_of

FLOWS, KEYED = "flow-0", "keyed-0"
"""The groups. They may be in different partitions."""
DIAMOND: Mapping[str, Sequence[str]] = {"top": (), "left": ("top",), "right": ("top",), "last": ("left", "right")}
"""The jobs of a diamond, and for which others of it each waits."""
PARENTS = DIAMOND | {"part": ()}
"""With the job that a top may enqueue while it runs, to wait for it."""
KEYS = ("a", "b", "c")
POLICIES = ("existing", "follow", "follow", "replace")
_PAUSE_S = 0.4


class FlowLoad(PartLoad):
    """Makes diamonds and jobs with keys until `judged`; others take and finish them. `lease_s`: of each job."""

    def __init__(self, ask_until_told: Ask, lease_s: int, seed: int) -> None:
        super().__init__(ask_until_told, lease_s, seed)
        self._made = 0
        self._waited: set[str] = set()

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
        flows: Found = []
        keyed: Found = []

        async def have_ended() -> bool:
            flows[:], keyed[:] = [await all_of(self._ask, group, "jobs") for group in (FLOWS, KEYED)]
            return bool(flows) and all(job["status"] in FINISHED for job in flows + keyed)

        await self._until(limit_s, have_ended)
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

    async def _enqueue(self, group: str, jobs: Found, name: str) -> list[str]:
        answer = await self._ask("POST", f"/v1/groups/{group}/jobs", {"jobs": jobs}, group=group, Idempotency_Key=name)
        ids = [job["id"] for job in answer.told["jobs"]] if answer.status == 201 else []
        self._acknowledged |= set(ids)
        return ids


def judge(
    flows: Found,
    keyed: Found,
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
