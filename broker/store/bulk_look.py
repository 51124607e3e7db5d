"""Finds the jobs of a group that the filters of a bulk match, or that it names, page by page."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
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

    `store_s`: how long the store worked on it. `skipped`: why jobs that the bulk names do not match.
    """

    ids: list[str]
    looked: int
    cursor: str
    store_s: float
    skipped: Mapping[str, int] = {}


def filters_of(bulk: Bulk) -> Filters:
    """The filters of a bulk; never a job that was created after it."""
    began = milliseconds(bulk.created_at)
    before = began if bulk.created_before is None else min(began, milliseconds(bulk.created_before))
    if bulk.older_than is not None:
        before = min(before, began - bulk.older_than * 1000)
    return Filters(
        created_after=_ms(bulk.created_after),
        created_before=before,
        completed_after=_ms(bulk.completed_after),
        completed_before=_ms(bulk.completed_before),
        image=bulk.image or "",
        text=bulk.text or "",
        reason=bulk.reason or "",
        cause=bulk.cause or "",
        is_unretried=bulk.retried is False,
    )


async def look(jobs: Jobs, looks: Looks, bulk: Bulk, statuses: tuple[Status, ...], cursor: str) -> Looked:
    """The next page of PAGE jobs in these statuses; fewer if they are large. It is one script call.

    Of a bulk that names its jobs, the next PAGE of these.
    """
    if bulk.ids is not None:
        return await _look_at_named(jobs, bulk.group, list(dict.fromkeys(bulk.ids)), statuses, int(cursor or 0))
    reading = looks.page(bulk.group, filters_of(bulk), looks=PAGE, cursor=cursor, statuses=statuses)
    began, found, ended = await asyncio.gather(jobs.clock(bulk.group), reading, jobs.clock(bulk.group))
    ids = [job.id for job in found.rows if not bulk.retried or job.retry_at is not UNSET]
    return Looked(ids, found.looked, found.cursor, max(0, ended - began) / 1e6)


async def _look_at_named(
    jobs: Jobs, group: str, named: Sequence[str], statuses: tuple[Status, ...], first: int
) -> Looked:
    """The jobs from a position on that are in these statuses; it is also the cursor."""
    page, end = named[first : first + PAGE], first + PAGE
    found = await jobs.statuses(group, page)
    skipped = Counter("gone" if status is None else "wrong_state" for status in found if status not in statuses)
    ids = [job_id for job_id, status in zip(page, found, strict=True) if status in statuses]
    return Looked(ids, len(page), str(end) if end < len(named) else "", 0, skipped)


def _ms(time: str | None) -> int | None:
    return None if time is None else milliseconds(time)
