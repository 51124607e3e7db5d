"""Schedules against a model: several brokers, stale reads, crashes, a clock that jumps both ways, pauses and ends."""

from collections import Counter
from random import Random
from typing import Any

import pytest

from broker.core.timestamps import milliseconds, rfc3339
from broker.models.schedules import NewSchedule, ScheduledJob
from broker.schedules.timetable import Timetable
from broker.store.format.schedules import StoredSchedule
from tests.contract.building import GROUP, forget_all, now_ms
from tests.contract.flows import settle
from tests.property.schedule_model import Outcome, Policies, Reading, ScheduleModel
from tests.stores import Store

NAME = "digest"
DAY_MS = 86_400_000
SPRING = milliseconds("2027-03-26T12:00:00Z")
"""Two days before the clocks of Berlin jump."""
AUTUMN = milliseconds("2027-10-29T12:00:00Z")
NIGHTLY = {"cron": ["30 2 * * *"], "zone": "Europe/Berlin"}
TIMES: list[tuple[int, dict[str, Any]]] = [
    (SPRING, {"every": 300}),
    (SPRING, {"every": 3600, "jitter": 1800}),
    (SPRING, NIGHTLY),
    (SPRING, NIGHTLY | {"gap": "skip"}),
    (AUTUMN, NIGHTLY | {"jitter": 600}),
    (AUTUMN, {"cron": ["*/20 * * * *", "30 2 * * *"], "zone": "Europe/Berlin"}),
    (SPRING, {"every": 600, "ends_at": SPRING + 4 * 3_600_000}),
]
STEPS = (0.05, 0.3, 0.5, 1, 1, 1, 1, 1.4, 3, 7, -0.1, -1)
"""How far the clock steps, in distances of the times."""
ACTS = [*["work"] * 4, "look", "look", "fire", "fire", *["clock"] * 5, "end", "end", "other"]
"""`look` reads what a broker fires later, or never; `work` is both at once."""
MOST_DUES = 1500


class World:
    """A schedule in a store and in the model, and what three brokers have in hand."""

    def __init__(self, store: Store, random: Random) -> None:
        self.store = store
        self.random = random
        start, self.times = random.choice(TIMES)
        self.policies = Policies(
            overlap=random.choice(("skip", "queue", "queue_all", "cancel", "allow")),
            missed=random.choice(("one", "all", "none")),
            catch_up=random.choice((0, 600, 86_400, 864_000, 864_000)),
            max_fires=random.choice((0, 0, 4)),
        )
        table = Timetable.of(**self.times, name=f"{GROUP}/{NAME}")
        dues = table.upcoming(start, MOST_DUES)
        self.distance_ms = dues[1].at - dues[0].at
        self.end = start + (4 if "every" in self.times else 90) * DAY_MS
        if len(dues) == MOST_DUES:
            self.end = min(self.end, dues[-2].at)
        store.now = str(start)
        lost = table.lost(start, self.end) if self.times.get("gap") == "skip" else []
        self.model = ScheduleModel(dues, self.policies, lost, handled=start)
        self.hands: list[tuple[StoredSchedule, int, Reading] | None] = [None, None, None]

    async def put(self, payload: str = "") -> None:
        """Put the schedule; the payload is another with each real change."""
        fields: dict[str, Any] = {
            name: rfc3339(value) if name == "ends_at" else value for name, value in self.times.items()
        }
        policies = self.policies._asdict() | {"max_fires": self.policies.max_fires or None}
        job = ScheduledJob(image="x", payload=payload or None)
        await self.store.schedules.put(GROUP, NAME, NewSchedule(job=job, **fields, **policies))

    async def step(self, number: int) -> None:
        """One thing that happens."""
        broker = self.random.randrange(len(self.hands))
        match self.random.choice(ACTS):
            case "work":
                await self._look(broker)
                await self._fire(broker)
            case "look":
                await self._look(broker)
            case "fire":
                await self._fire(broker)
            case "clock":
                now = now_ms(self.store) + int(self.random.choice(STEPS) * self.distance_ms)
                self.store.now = str(max(min(now, self.end), self.model.handled))
            case "end":
                await self._end()
            case "other":
                await self._change(number)

    async def _look(self, broker: int) -> None:
        now = now_ms(self.store)
        found = await self.store.schedules.stored(GROUP, NAME)
        reading = self.model.read(now)
        assert (found.score <= now) == (reading is not None), self.model
        self.hands[broker] = (found, now, reading) if reading else None

    async def _fire(self, broker: int) -> None:
        if hand := self.hands[broker]:
            found, now, reading = hand
            fired = await self.store.schedule_fires.fire(found, now)
            assert (fired.what != "changed") == self.model.fire(reading), (fired, self.model)
            self.hands[broker] = hand if self.random.random() < 0.2 else None  # a call that is sent again
            await settle(self.store)

    async def _end(self) -> None:
        jobs = [job for job in await self._jobs() if job.status == "queued"]
        if jobs:
            job = self.random.choice(jobs)
            taken = await self.store.start(GROUP, job.id)
            if self.random.random() < 0.5:
                await self.store.succeed(GROUP, job.id, taken.lease)
            else:
                await self.store.fail(GROUP, job.id, taken.lease, "bad_exit")
            self.model.end(milliseconds(str(job.scheduled_for)))
            await settle(self.store)

    async def _change(self, number: int) -> None:
        match self.random.choice(("pause", "resume", "resume", "put", "same", "crash")):
            case "pause":
                await self.store.schedules.pause(GROUP, NAME)
                self.model.pause()
            case "resume":
                await self.store.schedules.resume(GROUP, NAME)
                self.model.resume(now_ms(self.store))
            case "put" if self.model.word != "done":
                await self.put(f"change {number}")
                self.model.put()
            case "crash":
                self.hands = [None, None, None]

    async def _jobs(self) -> list[Any]:
        return (await self.store.list(GROUP, 1000))[0]

    async def check(self) -> None:
        """The store has what the model has: the state, counts, history and jobs, for each time one."""
        model, shown = self.model, await self.store.schedules.show(GROUP, NAME)
        assert shown.state == model.word, self.model
        if model.word == "active":
            assert milliseconds(str(shown.next_at)) == model.dues[model.next].at
        counts = shown.counts
        skipped = model.count("paused", "gap", "overlap", "limit")
        assert (counts.fired, counts.skipped, counts.missed) == (len(model.fired), skipped, model.count("missed"))
        jobs = await self._jobs()
        assert sorted(milliseconds(str(job.scheduled_for)) for job in jobs) == sorted(model.fired)
        unended = {milliseconds(str(job.scheduled_for)): job for job in jobs if job.status in {"queued", "delayed"}}
        assert {at: job.status == "delayed" for at, job in unended.items()} == {
            at: bool(waits) for at, waits in model.open.items()
        }
        assert {at for at, job in unended.items()} | set(model.cancelled) <= set(model.fired)
        await self._check_history()

    async def _check_history(self) -> None:
        """Each line of the history is the next outcomes of the model, the newest first."""
        outcomes = list(reversed(self.model.outcomes))
        for fire in await self.store.schedules.fires(GROUP, NAME, 50):
            times = 1 if fire.times is None or not isinstance(fire.times, int) else fire.times
            some, outcomes = outcomes[:times], outcomes[times:]
            what = fire.why if isinstance(fire.why, str) else fire.what
            assert {outcome.what for outcome in some} == {what}, self.model
            assert Outcome(milliseconds(fire.scheduled_for), what) == some[-1], self.model


async def play(store: Store, seed: int, steps: int) -> Counter[str]:
    """One world; how often there was which outcome."""
    world = World(store, Random(seed))
    await world.put()
    for number in range(steps):
        await world.step(number)
        await world.check()
    found = world.model.outcomes
    assert len({outcome for outcome in found if outcome.what != "gap"}) == world.model.count(
        "fired", "missed", "paused", "overlap", "limit"
    )
    assert len({outcome.at for outcome in found}) == len(found)
    await forget_all(store)
    return Counter(outcome.what for outcome in found)


@pytest.mark.parametrize("backend", ["valkey"])
async def test_every_time_has_one_outcome(store: Store) -> None:
    """Whatever brokers do and clocks show, each time is fired for once, or has a reason why not."""
    seen: Counter[str] = Counter()
    for seed in range(20):
        seen += await play(store, seed, 150)
    assert {"fired", "missed", "paused", "gap", "overlap"} <= set(seen)
