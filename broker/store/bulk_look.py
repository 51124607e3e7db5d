"""Finds the jobs of a group that the filters of a bulk match, page by page."""

import asyncio
from typing import NamedTuple

from msgspec import UNSET

from broker.core.states import Status
from broker.core.timestamps import milliseconds
from broker.models.bulk import Bulk
from broker.store.jobs import Jobs
from broker.store.looks import Filters, Looks

PAGE = 100


class Looked(NamedTuple):
    """A page: ids of the jobs that match, how many jobs were looked at, and where it continues, '' at the end.

    `store_s`: how long the store worked on it.
    """

    ids: list[str]
    looked: int
    cursor: str
    store_s: float


def filters_of(bulk: Bulk) -> Filters:
    """The filters of a bulk; never a job that was created after it."""
    began = milliseconds(bulk.created_at)
    before = began if bulk.created_before is None else min(began, milliseconds(bulk.created_before))
    if bulk.older_than is not None:
        before = min(before, began - bulk.older_than * 1000)
    return Filters(
        created_after=None if bulk.created_after is None else milliseconds(bulk.created_after),
        created_before=before,
        image=bulk.image or "",
        text=bulk.text or "",
        reason=bulk.reason or "",
        cause=bulk.cause or "",
        is_unretried=bulk.retried is False,
    )


async def look(jobs: Jobs, looks: Looks, bulk: Bulk, statuses: tuple[Status, ...], cursor: str) -> Looked:
    """The next page of PAGE jobs in these statuses; fewer if they are large. It is one script call."""
    reading = looks.page(bulk.group, filters_of(bulk), looks=PAGE, cursor=cursor, statuses=statuses)
    began, found, ended = await asyncio.gather(jobs.clock(bulk.group), reading, jobs.clock(bulk.group))
    ids = [job.id for job in found.rows if not bulk.retried or job.retry_at is not UNSET]
    return Looked(ids, found.looked, found.cursor, max(0, ended - began) / 1e6)
