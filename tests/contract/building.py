"""How tests bring a job to each status, move the store's clock, and look at all that the store keeps."""

from collections.abc import Awaitable, Callable
from typing import Any

from broker.core.errors import NotFound, TitanError
from broker.core.states import STATUSES, Status
from broker.core.timestamps import rfc3339
from broker.models.groups import GroupSettings
from broker.models.jobs import Job, NewJob
from broker.models.reports import Held
from broker.resp import keys
from tests.stores import Store

GROUP = "letters"
DAY_S = 86_400
DEADLINES = {"start_within": 7 * DAY_S, "end_within": 10 * DAY_S}
"""Longer than every lease and delay."""
Run = Callable[..., Awaitable[Any]]
"""Runs a script: its verb, then the values of ARGV."""


def new(**fields: int | str) -> NewJob:
    """A job to enqueue; what is not given has its default."""
    return NewJob(**{"image": "post", **fields})


async def enqueue(store: Store, group: str = GROUP, **fields: int | str) -> Job:
    """One new job."""
    [job] = (await store.enqueue(group, [new(**fields)])).jobs
    return job


async def delayed(store: Store) -> Job:
    return await enqueue(store, delay=30)


async def queued(store: Store, group: str = GROUP, **fields: int | str) -> Job:
    return await enqueue(store, group, **fields)


async def running(store: Store, group: str = GROUP, *, lease_s: int | None = None, **fields: int | str) -> Job:
    """A job that `next` delivered, with its lease. Any job of the group that was queued before goes first."""
    await enqueue(store, group, **fields)
    [job] = await store.next(1, [group], lease_s)
    return job


async def started(store: Store, group: str = GROUP, **fields: int | str) -> Job:
    """A job that a client took by `start`, with its lease."""
    job = await enqueue(store, group, **fields)
    return await store.start(group, job.id)


async def delayed_with_deadline(store: Store) -> Job:
    return await enqueue(store, delay=30, **DEADLINES)


async def queued_with_deadline(store: Store) -> Job:
    return await enqueue(store, **DEADLINES)


async def running_with_deadline(store: Store) -> Job:
    return await running(store, **DEADLINES)


async def succeeded(store: Store, **fields: int | str) -> Job:
    job = await running(store, **fields)
    return await store.succeed(job.group_name, job.id, job.lease)


async def failed(store: Store, **fields: int | str) -> Job:
    job = await running(store, **fields)
    return await store.fail(job.group_name, job.id, job.lease, "bad_exit")


async def cancelled(store: Store, **fields: int | str) -> Job:
    job = await queued(store, **fields)
    return await store.cancel(job.group_name, job.id)


WAYS_TO: dict[Status, tuple[Callable[[Store], Awaitable[Job]], ...]] = {
    "delayed": (delayed, delayed_with_deadline),
    "queued": (queued, queued_with_deadline),
    "running": (running, started, running_with_deadline),
    "succeeded": (succeeded,),
    "failed": (failed,),
    "cancelled": (cancelled,),
}
"""How a job comes to a status."""


async def of_each_status(store: Store) -> dict[Status, list[Job]]:
    """Jobs in every status, by every way there; the queued one last, so that none of the others takes it."""
    return {status: [await way(store) for way in WAYS_TO[status]] for status in sorted(STATUSES, key="queued".__eq__)}


async def running_many(store: Store, n: int, group: str = GROUP, **fields: int | str) -> list[Job]:
    """N jobs that `next` delivered, in their order."""
    await store.enqueue(group, [new(**fields)] * n)
    return await store.next(n, [group])


def held(job: Job) -> Held:
    """The job as an item of the bulk touch."""
    return Held(group_name=job.group_name, id=job.id, lease=job.lease or None)


async def touch(store: Store, job: Job) -> int:
    """Touch one job with the lease that it has, its refusal raised; the new end in ms."""
    [end] = await store.touch([held(job)])
    if isinstance(end, TitanError):
        raise end
    return end


def now_ms(store: Store) -> int:
    """The store's clock."""
    return int(store.now)


def wait(store: Store, seconds: float) -> None:
    """Move the store's clock on."""
    store.now = str(now_ms(store) + round(seconds * 1000))


def clock(store: Store, seconds: float = 0) -> str:
    """The store's time this number of seconds from now, as a job shows it."""
    return rfc3339(now_ms(store) + round(seconds * 1000))


async def reap_after(store: Store, seconds: float, limit: int = 100) -> None:
    """Let time pass, then run the reaper."""
    wait(store, seconds)
    await store.reap(limit)


async def status_of(store: Store, job: Job) -> Status | None:
    """The job's status now; None when it is gone."""
    try:
        return (await store.show(job.group_name, job.id)).status
    except NotFound:
        return None


def shown(job: Job, *fields: str) -> list[str]:
    """Which of the fields the job shows; one that has no value is left out of an answer."""
    return [field for field in fields if getattr(job, field)]


def ids(jobs: list[Job]) -> list[str]:
    return [job.id for job in jobs]


async def names(store: Store, n: int = 1, groups: tuple[str, ...] = ()) -> list[str]:
    """The payloads of the next n jobs, by which tests name their jobs."""
    return [str(job.payload) for job in await store.next(n, groups)]


async def configure(store: Store, group: str = GROUP, **settings: object) -> None:
    """Give the group these settings, the rest their defaults."""
    await store.configure(group, GroupSettings(**settings))


def members_key(store: Store, group: str, status: Status) -> str:
    """The key of the set of a group's jobs in a status."""
    return keys.members(partition(store, group), group, status)


def partition(store: Store, group: str) -> str:
    """The name of the partition that holds the group."""
    return store.partitions[keys.partition_of(group, len(store.partitions))]


async def forget_all(store: Store) -> None:
    """Delete what a test with very many jobs made: looking over it afterwards would take longest."""
    own = [key async for key in store.redis.scan_iter(f"{store.partitions[0]}:*", 5000)]
    await store.redis.unlink(*own)


def spread(store: Store, each: int = 1) -> list[str]:
    """Names of groups, this number of them in each partition."""
    found: dict[int, list[str]] = {number: [] for number in range(len(store.partitions))}
    number = 0
    while any(len(groups) < each for groups in found.values()):
        own = found[keys.partition_of(f"group-{number}", len(found))]
        if len(own) < each:
            own.append(f"group-{number}")
        number += 1
    return [group for groups in found.values() for group in groups]


LARGE_SPEC = 4096
"""A spec with more bytes is large, see lua/lib/record.lua."""


async def lose(store: Store, *jobs: Job) -> None:
    """Delete the records of jobs, as after a restore of half a store; their ids remain in the sets."""
    for job in jobs:
        p = partition(store, job.group_name)
        await store.redis.hdel(keys.jobs(p), job.id)
        await store.redis.delete(keys.job(p, job.id))


async def dump(store: Store) -> dict[str, object]:
    """Every key of the store with its value, to compare before and after; without the entries of pollers."""
    whole: dict[str, object] = {}
    async for key in store.redis.scan_iter(f"{store.settings.key_prefix}*", 1000):
        kind = await store.redis.type(key)
        if kind == b"hash":
            whole[key.decode()] = await store.redis.hgetall(key)
        elif kind == b"zset":
            whole[key.decode()] = await store.redis.zrange(key, 0, -1, withscores=True)
        else:
            assert kind == b"string", f"{key!r} is a {kind!r}"
            whole[key.decode()] = await store.redis.get(key)
    for p in store.partitions:
        whole.pop(keys.pollers(p), None)
    return whole
