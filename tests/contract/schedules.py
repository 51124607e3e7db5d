"""How tests put schedules, let them fire, and see what became of their times."""

from typing import Any

from broker.core.timestamps import rfc3339
from broker.models.jobs import Job
from broker.models.schedules import Fire, NewSchedule, Schedule, ScheduledJob
from broker.store.schedule_fires import Fired
from tests.contract.building import GROUP, now_ms
from tests.stores import Store

NAME = "digest"


def spec(**fields: Any) -> NewSchedule:
    """A schedule, every minute if nothing else is said."""
    if not fields.keys() & {"cron", "every", "at"}:
        fields["every"] = 60
    job = fields.pop("job", {})
    return NewSchedule(job=ScheduledJob(**({"image": "post"} | job)), **fields)


async def put(store: Store, name: str = NAME, group: str = GROUP, **fields: Any) -> Schedule:
    """Put a schedule."""
    return (await store.schedules.put(group, name, spec(**fields), "ann")).schedule


async def fire_all(store: Store, limit: int = 100) -> list[Fired]:
    """Fire until nothing is due."""
    fired: list[Fired] = []
    while step := await store.schedule_fires.fire_due(limit):
        fired += step
    return fired


async def fire_next(store: Store, name: str = NAME, late_s: float = 0) -> list[Fired]:
    """Let the time of the next fire come, and fire."""
    stored = await store.schedules.stored(GROUP, name)
    store.now = str(stored.score + round(late_s * 1000))
    return await fire_all(store)


async def history(store: Store, name: str = NAME) -> list[str]:
    """What the last fires came to, the oldest first: `fired`, or why not, with how many times it stands for."""
    fires: list[Fire] = await store.schedules.fires(GROUP, name, 50)
    return [f"{fire.why or fire.what}{f' x{fire.times}' if fire.times else ''}" for fire in reversed(fires)]


async def shown(store: Store, name: str = NAME) -> Schedule:
    """The schedule as it is now."""
    return await store.schedules.show(GROUP, name)


async def made(store: Store, group: str = GROUP) -> list[Job]:
    """All jobs of the group, the oldest first."""
    jobs, _ = await store.list(group, 1000)
    return jobs


async def end(store: Store, job: Job, how: str = "succeeded") -> None:
    """Deliver a job and end it."""
    taken = await store.start(job.group_name, job.id)
    if how == "succeeded":
        await store.succeed(job.group_name, job.id, taken.lease)
    else:
        await store.fail(job.group_name, job.id, taken.lease, "bad_exit")


def at(store: Store, seconds: float) -> str:
    """A time this number of seconds from now."""
    return rfc3339(now_ms(store) + round(seconds * 1000))
