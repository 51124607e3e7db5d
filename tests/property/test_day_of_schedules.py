"""A day of many schedules in seconds: two brokers fire at the same time, and some die between a read and its fire.

The store's clock is given. Which times there are is known from clocks on the wall, looked at each minute, not from the
timetables of the product; what should become of them is computed from those lists.
"""

import asyncio
from collections import Counter, defaultdict
from functools import cache
from random import Random
from typing import Any, NamedTuple

import pytest

from broker.core.timestamps import milliseconds, rfc3339
from broker.diagnostics.consistency import check
from broker.models.schedules import NewSchedule, ScheduledJob
from broker.store.format.schedules import StoredSchedule
from broker.store.schedule_fires import Fired
from tests.stores import Store
from tests.unit.wall_clock import ZONES, due_minutes, wall

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
SCHEDULES, GROUPS = 200, 8
STEPS_S = (7, 20, 45, 60, 120, 240, 300, 600)
"""How far the clock steps, if brokers work; sometimes none does for up to two hours."""
OUTAGE_S = 7200
ON_TIME_MS = 60_000


class Plan(NamedTuple):
    """A schedule of the test, and all its times of the day, ms."""

    group: str
    name: str
    fields: dict[str, Any]
    dues: list[int]


class Broker:
    """A broker's loop. It dies now and then between a read and its fire, or fires much later what it read."""

    def __init__(self, store: Store, random: Random, fired: dict[tuple[str, str], list[int]]) -> None:
        self.store = store
        self.random = random
        self.fired = fired
        self.is_dead = False
        self.late: list[tuple[StoredSchedule, int]] = []
        self.counts: Counter[str] = Counter()
        self._fire = store.schedule_fires.fire
        store.schedule_fires.fire = self.fire  # type: ignore[method-assign]

    async def work(self) -> None:
        """Fire what it had in hand, and then all due schedules, until it finds none or dies."""
        self.is_dead = False
        hands, self.late = self.late, []
        for found, now in hands:
            await self._note(found, now)
        while await self.store.schedule_fires.fire_due(50):
            pass

    async def fire(self, found: StoredSchedule, now: int) -> Fired:
        """In place of the product's own; `unreadable` is for its loop as if there was nothing."""
        for _ in range(self.random.randrange(4)):
            await asyncio.sleep(0)
        chance = self.random.random()
        if self.is_dead:
            return Fired("unreadable")
        if chance > 0.03:
            return await self._note(found, now)
        self.is_dead = chance < 0.01
        if not self.is_dead:
            self.late.append((found, now))
        self.counts["died" if self.is_dead else "late"] += 1
        return Fired("unreadable")

    async def _note(self, found: StoredSchedule, now: int) -> Fired:
        fired = await self._fire(found, now)
        self.counts[fired.what] += 1
        if fired.what != "changed":
            self.fired[found.group, found.name].append(now)
        return fired


def planned(random: Random, number: int, start: int) -> Plan:
    """A schedule of any kind."""
    fields: dict[str, Any] = {
        "missed": random.choice(("all", "all", "one", "none")),
        "overlap": random.choice(("allow", "allow", "allow", "skip")),
        "max_fires": random.choice((None, None, None, 3)),
    }
    end = start + DAY_MS
    kind = random.choice(("cron", "cron", "cron", "every", "at"))
    if kind == "every":
        every, jitter = random.choice((3600, 5400, 9000, 20_000)), random.choice((0, 0, 900))
        offset = random.randrange(every)
        fields |= {"every": every, "offset": offset, "jitter": jitter}
        first = (start // 1000 - offset) // every * every + offset
        dues = [at * 1000 for at in range(first, end // 1000 + 1, every)]
    elif kind == "at":
        dues = [start + random.randrange(1, DAY_MS)]
        fields["at"] = rfc3339(dues[0])
    else:
        fields |= {"zone": random.choice(ZONES), "gap": random.choice(("run", "skip"))}
        fields["cron"], dues = cron_of(random, fields["zone"], fields["gap"], start)
    if kind != "at" and random.random() < 0.2:
        from_ms, to_ms = sorted(random.sample(range(start, end, MINUTE_MS), 2))
        fields |= {"starts_at": rfc3339(from_ms), "ends_at": rfc3339(to_ms)}
        dues = [at for at in dues if from_ms <= at < to_ms]
    return Plan(f"day-{number % GROUPS}", f"s{number}", fields, [at for at in dues if start < at <= end])


def cron_of(random: Random, zone: str, gap: str, start: int) -> tuple[list[str], list[int]]:
    """An expression of minutes and hours, and its times."""
    minutes = sorted(random.sample(range(60), random.choice((1, 1, 2))))
    texts: dict[str, set[int]] = {"*": set(range(24)), "*/6": set(range(0, 24, 6)), "1-3": {1, 2, 3}, "2": {2}}
    texts |= {str(hour): {hour} for hour in (0, 1, 3, 13, 23)}
    hour = random.choice(["*", *texts])
    found = due_minutes(
        shown_in(zone, start),
        lambda local: local.minute in minutes and local.hour in texts[hour],
        is_elapsed="*" in hour,
        runs_in_gap=gap == "run",
    )
    return [f"{','.join(map(str, minutes))} {hour} * * *"], [at * MINUTE_MS for at, _ in found]


@cache
def shown_in(zone: str, start: int) -> list[Any]:
    """What clocks of the zone show during the day, and a while before it."""
    return wall(zone, (start - 6 * HOUR_MS) // MINUTE_MS, (start + DAY_MS) // MINUTE_MS + 1)


def outcome(plan: Plan, nows: list[int]) -> tuple[list[int], int, int]:
    """For which times there is a job, how many were missed, and skipped, if brokers fired at these times."""
    fired: list[int] = []
    n_missed, n_skipped, before = 0, 0, 0
    most = plan.fields["max_fires"] or len(plan.dues) + 1
    for now in nows:
        passed = [at for at in plan.dues if before < at <= now]
        assert passed, (plan, now)
        assert len(fired) < most, plan
        is_all, is_none = (plan.fields["missed"] == word for word in ("all", "none"))
        chosen = passed[0] if is_all else passed[-1]
        before = chosen
        if is_none and chosen < now - ON_TIME_MS:
            n_missed += len(passed)
            continue
        n_missed += 0 if is_all else len(passed) - 1
        if fired and plan.fields["overlap"] == "skip":
            n_skipped += 1
        else:
            fired.append(chosen)
    return fired, n_missed, n_skipped


def left(plan: Plan, fired: list[int], nows: list[int], end: int) -> list[int]:
    """The times that had no outcome, though they came."""
    is_done = len(fired) >= (plan.fields["max_fires"] or len(plan.dues) + 1)
    return [] if is_done else [at for at in plan.dues if max(nows, default=0) < at <= end]


async def judge(store: Store, plans: list[Plan], nows: dict[tuple[str, str], list[int]], end: int) -> int:
    """Compare the jobs of the store and its counts with the lists; how many jobs there are."""
    jobs: dict[str, list[int]] = defaultdict(list)
    for group in {plan.group for plan in plans}:
        cursor: Any = None
        while cursor is None or cursor:
            page, cursor = await store.list(group, 1000, cursor=cursor or "")
            for job in page:
                jobs[f"{job.schedule}"].append(milliseconds(str(job.scheduled_for)))
    for plan in plans:
        shown = await store.schedules.show(plan.group, plan.name)
        made, acts = sorted(jobs[plan.name]), nows[plan.group, plan.name]
        if jitter_s := plan.fields.get("jitter", 0):
            assert len(set(made)) == len(made), plan
            assert set(made) <= {at for at in plan.dues if at <= end}, plan
            is_whole = (plan.fields["missed"], plan.fields["overlap"], plan.fields["max_fires"]) == (
                "all",
                "allow",
                None,
            )
            assert not is_whole or set(made) >= {at for at in plan.dues if at <= end - jitter_s * 1000}, plan
            continue
        fired, n_missed, n_skipped = outcome(plan, acts)
        assert made == fired, plan
        assert left(plan, fired, acts, end) == [], plan
        assert (shown.counts.fired, shown.counts.missed) == (len(fired), n_missed), plan
        assert shown.counts.skipped >= n_skipped, plan  # and the jumps of clocks, with `gap: skip`
        assert shown.counts.skipped == n_skipped or plan.fields.get("gap") == "skip", plan
    return sum(len(made) for made in jobs.values())


@pytest.mark.parametrize("backend", ["valkey"])
@pytest.mark.parametrize("start", ["2027-03-27T13:00:00Z", "2027-10-30T13:00:00Z"])
async def test_a_day_of_schedules(store: Store, redis: Any, settings: Any, start: str) -> None:
    """On the days on which clocks of Europe change: each time has the outcome that its policies give, and one job."""
    random, begin = Random(start), milliseconds(start)
    store.now = str(begin)
    plans = [plan for number in range(2 * SCHEDULES) if (plan := planned(random, number, begin)).dues][:SCHEDULES]
    for plan in plans:
        given = NewSchedule(job=ScheduledJob(image="x"), **plan.fields)
        await store.schedules.put(plan.group, plan.name, given)
    nows: dict[tuple[str, str], list[int]] = defaultdict(list)
    brokers = [Broker(one, random, nows) for one in (store, Store(redis, settings))]
    now, end = begin, begin + DAY_MS
    while now < end:
        is_away = random.random() < 0.02
        now = min(end, now + 1000 * (random.randrange(OUTAGE_S) if is_away else random.choice(STEPS_S)))
        for broker in brokers:
            broker.store.now = str(now)
        await asyncio.gather(*(broker.work() for broker in random.sample(brokers, random.choice((1, 2, 2)))))
    await asyncio.gather(*(broker.work() for broker in brokers))
    while any(broker.is_dead or broker.late for broker in brokers):
        await asyncio.gather(*(broker.work() for broker in brokers))
    n = await judge(store, plans, nows, end)
    counts = sum((broker.counts for broker in brokers), Counter[str]())
    print(f"{n} jobs, {dict(counts)}")
    assert n > 400
    assert min(counts[what] for what in ("fired", "skipped", "missed", "changed", "died", "late")) > 3
    assert await check(store) == []
