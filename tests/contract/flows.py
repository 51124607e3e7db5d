"""How tests enqueue jobs that wait for others, settle what has ended, and look at held jobs."""

from typing import Any

from broker.models.jobs import Job, NewJob
from tests.contract.building import GROUP
from tests.stores import Store


async def enqueue_flow(store: Store, *jobs: NewJob, group: str = GROUP) -> list[Job]:
    """These jobs in one call, in their order."""
    return (await store.enqueue(group, jobs)).jobs


def named(payload: str, **fields: Any) -> NewJob:
    """A job that tests know by its payload."""
    return NewJob(image="post", payload=payload, **fields)


async def settle(store: Store, limit: int = 100) -> None:
    """Settle until nothing is left to be settled."""
    while (await store.maintenance.settle(limit)).n:
        pass


async def needs(store: Store, job: Job) -> int:
    """For how many jobs a job waits."""
    waits_for = (await store.show(job.group_name, job.id)).waits_for
    return waits_for.jobs if waits_for else 0
