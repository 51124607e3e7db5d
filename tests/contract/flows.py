"""How tests enqueue jobs that wait for others, settle what has ended, and look at held jobs."""

from typing import Any

from broker.models.jobs import Job, NewJob
from broker.models.unique import Unique
from broker.store.format.exported import ExportedJob, read_line
from tests.contract.building import GROUP
from tests.stores import Store


async def enqueue_flow(store: Store, *jobs: NewJob, group: str = GROUP) -> list[Job]:
    """These jobs in one call, in their order."""
    return (await store.enqueue(group, jobs)).jobs


def named(payload: str, **fields: Any) -> NewJob:
    """A job that tests know by its payload."""
    return NewJob(image="post", payload=payload, **fields)


def keyed(payload: str, on_conflict: Any = None, *, key: str = "doc-7", **fields: Any) -> NewJob:
    """A job with a key. `until`, `for_` and `max_wait` are of the key, other fields of the job."""
    own = {name: fields.pop(name) for name in ("until", "for_", "max_wait") if name in fields}
    return named(payload, unique=Unique(key=key, on_conflict=on_conflict, **own), **fields)


async def settle(store: Store, limit: int = 100) -> None:
    """Settle until nothing is left to be settled."""
    while (await store.maintenance.settle(limit)).n:
        pass


async def needs(store: Store, job: Job) -> int:
    """For how many jobs a job waits."""
    waits_for = (await store.show(job.group_name, job.id)).waits_for
    return waits_for.jobs if waits_for else 0


async def take_out(store: Store) -> dict[str, ExportedJob]:
    """Export all jobs, and empty the store; what was exported, by id."""
    pieces = [piece async for piece in store.transfer.export()]
    assert not any(piece.damaged for piece in pieces)
    await store.redis.delete(*[key async for key in store.redis.scan_iter(f"{store.partitions[0]}:*", 1000)])
    return {line.job.id: line.job for piece in pieces for line in map(read_line, piece.jobs) if line.job}


async def bring(store: Store, exported: dict[str, ExportedJob], *jobs: Job) -> None:
    """Restore some jobs of an export with one call."""
    await store.transfer.restore(store.partitions[0], [], [exported[job.id] for job in jobs])


async def move(store: Store) -> None:
    """Export all jobs, and bring them into the empty store."""
    await store.transfer.restore(store.partitions[0], [], list((await take_out(store)).values()))
