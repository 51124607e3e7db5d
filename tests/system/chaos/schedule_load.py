"""A part of the load: schedules that fire every second or so, with all policies; no time may fire twice.

A job and the next time of its schedule are one write, so all of this holds after a failover too: a store that lost its
last second lost both.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from broker.core.states import FINISHED
from broker.core.timestamps import milliseconds
from tests.system.chaos.part_load import Ask, Found, PartLoad, all_of

SCHEDULED = "sched-0"
"""The group of the schedules and of their jobs."""
POLICIES: Mapping[str, dict[str, Any]] = {
    "all": {"every": 1, "missed": "all", "overlap": "allow"},
    "all-late": {"every": 2, "missed": "all", "overlap": "queue_all", "catch_up": 600},
    "short": {"every": 1, "missed": "all", "overlap": "allow", "catch_up": 2},
    "one": {"every": 1, "missed": "one", "overlap": "skip"},
    "none": {"every": 2, "missed": "none", "overlap": "queue"},
    "cancel": {"every": 2, "missed": "one", "overlap": "cancel"},
}
"""The first two promise a job for each time: no part of a run is as long as what they catch up."""
COMPLETE = ("all", "all-late")
ONE_AT_A_TIME = ("one", "cancel")
"""A job is made only when the last one, and its retry, have ended."""
IN_TURN = ("none", "all-late")
"""A job runs only when those before it have ended."""
BEHIND_MS = 5000
"""How late the last fire may be when the schedules are paused."""
PUT_MS = 2000
"""How long a call that puts a schedule takes at most."""
FIGURES = (
    "fires twice",
    "fires lost",
    "fires at other times",
    "fires miscounted",
    "fires misremembered",
    "fires overlapping",
    "schedules behind",
)
_PAUSE_S = 2.0


class ScheduleLoad(PartLoad):
    """Puts the schedules again and again; others take and end the jobs. `lease_s`: of each job."""

    def __init__(self, ask_until_told: Ask, lease_s: int, seed: int) -> None:
        super().__init__(ask_until_told, lease_s, seed)
        self._shown: dict[str, dict[str, Any]] = {}

    async def judged(self, limit_s: float) -> dict[str, int]:
        """The figures, when the schedules are paused and all jobs have ended, or the time has passed."""
        jobs: Found = []

        async def have_ended() -> bool:
            for name in POLICIES if not self._shown else ():
                self._shown[name] = (await self._call("POST", f"{name}/pause"))["schedule"]
            jobs[:] = await all_of(self._ask, SCHEDULED, "jobs")
            return all(job["status"] in FINISHED for job in jobs)

        await self._until(limit_s, have_ended)
        fires = {name: (await self._call("GET", f"{name}/fires?n=50"))["fires"] for name in self._shown}
        return judge(self._shown, jobs, fires)

    async def _produce(self) -> None:
        """The same body again changes nothing; a store that lost a schedule gets it back."""
        job = {"image": "x", "timeout": self._lease_s, "max_retries": 1, "retries_delay": 0}
        while True:
            is_last = self._is_last
            for name, policy in POLICIES.items():
                await self._call("PUT", name, {"schedule": {**policy, "job": job}})
            if is_last:
                return
            await asyncio.sleep(self._random.uniform(0, 2) * _PAUSE_S)

    async def _call(self, method: str, path: str, body: object = None) -> Any:
        answer = await self._ask(method, f"/v1/groups/{SCHEDULED}/schedules/{path}", body, group=SCHEDULED)
        return answer.told


def judge(shown: Mapping[str, dict[str, Any]], jobs: Found, fires: Mapping[str, Found]) -> dict[str, int]:
    """The figures that must be 0, and how many jobs there were, given the paused schedules, all jobs, and histories."""
    figures = Counter[str]()
    for name, schedule in shown.items():
        own = [job for job in jobs if job["schedule"] == name]
        figures += Counter(_judge(name, schedule, own, fires[name]))
    return {name: figures[name] for name in FIGURES} | {
        "jobs of schedules": len(jobs),
        "scheduled jobs left": sum(job["status"] not in FINISHED for job in jobs),
    }


def _judge(name: str, schedule: dict[str, Any], jobs: Found, fires: Found) -> dict[str, int]:
    every_ms, created_ms = schedule["every"] * 1000, milliseconds(schedule["created_at"])
    made = Counter(milliseconds(job["scheduled_for"]) for job in jobs if not job.get("retry_of"))
    first = (created_ms // every_ms + 1) * every_ms
    if first - every_ms in made and created_ms - (first - every_ms) < PUT_MS:
        first -= every_ms  # it came while the call was on its way
    last = first - every_ms
    if fires:
        last = milliseconds(fires[0]["scheduled_for"]) + (fires[0].get("times", 1) - 1) * every_ms
    counts = schedule["counts"]
    handled = counts["fired"] + counts["skipped"] + counts["missed"]
    is_counted = handled == (last - first) // every_ms + 1 and counts["fired"] == made.total()
    is_behind = last < milliseconds(schedule["paused_at"]) - every_ms - BEHIND_MS
    return {
        "fires twice": sum(n > 1 for n in made.values()),
        "fires lost": len(set(range(first, last + 1, every_ms)) - made.keys()) if name in COMPLETE else 0,
        "fires at other times": sum(at % every_ms or not first <= at <= last for at in made),
        "fires miscounted": not is_counted,
        "fires misremembered": _misremembered(fires, jobs),
        "fires overlapping": _overlapping(name, jobs),
        "schedules behind": is_behind and created_ms < last,
    }


def _misremembered(fires: Found, jobs: Found) -> int:
    """Lines of a history, the newest first, whose job does not exist, or that are not in order."""
    times = {job["id"]: job["scheduled_for"] for job in jobs}
    wrong = [fire for fire in fires if fire["what"] == "fired" and times.get(fire["job"]) != fire["scheduled_for"]]
    order = [milliseconds(fire["scheduled_for"]) for fire in fires]
    return len(wrong) + sum(newer <= older for newer, older in pairwise(order))


def _overlapping(name: str, jobs: Found) -> int:
    """How often a job came, or ran, before the one of an earlier time and its retry had ended."""
    begins = "created_at" if name in ONE_AT_A_TIME else "started_at"
    spans: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for job in jobs if name in (*ONE_AT_A_TIME, *IN_TURN) else ():
        if begins in job:
            spans[milliseconds(job["scheduled_for"])].append((milliseconds(job[begins]), _end(job)))
    in_order = [spans[at] for at in sorted(spans)]
    return sum(min(begin for begin, _ in after) < max(end for _, end in before) for before, after in pairwise(in_order))


def _end(job: dict[str, Any]) -> float:
    return milliseconds(job["completed_at"]) if job.get("completed_at") else float("inf")
