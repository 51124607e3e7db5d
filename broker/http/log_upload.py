"""Stores and deletes the log of a job: its bytes in the log store, and its size in the job."""

import asyncio
from contextlib import suppress

from broker.core.errors import NotFound, StoreUnavailable, TitanError, WrongState
from broker.http.request.body import expect
from broker.http.request.context import Call
from broker.http.request.multipart import log_pieces
from broker.http.request.query_params import LogQuery
from broker.http.server.connection_guard import time_limit
from broker.models.jobs import Job


async def keep_log(call: Call) -> Job:
    """Store the log of a job that runs or has run. It replaces an earlier log once it has arrived whole.

    Refused before the body is read if the job does not exist or has not run. The job is marked first: then the log is
    deleted with the job even if this broker dies in between. With `more`, it is the beginning of the log of a running
    job. A lease must be that of the delivery that holds the job.
    """
    is_more, lease = call.query(LogQuery).more == 1, call.lease(None)
    try:
        pieces = log_pieces(call.web, call.settings)
    except TitanError:
        await call.store.jobs.show(call.group, call.job_id)  # a job that does not exist is the more important error
        raise
    await call.store.jobs.log(call.group, call.job_id, lease=lease, is_more=is_more)
    await expect(call.web)
    async with time_limit(call.settings.log_timeout_s):
        size_bytes = await call.logs.write(call.job_id, pieces)
    return await asyncio.shield(_record_size(call, size_bytes, lease, is_more=is_more))


async def discard_log(call: Call) -> None:
    """Delete the log of a deleted job. If this fails, the reaper deletes it later."""
    with suppress(StoreUnavailable):
        await call.logs.delete([call.job_id])
        await call.store.maintenance.forget([call.job_id])


async def _record_size(call: Call, size_bytes: int, lease: str, *, is_more: bool) -> Job:
    try:
        return await call.store.jobs.log(call.group, call.job_id, size_bytes, lease, is_more=is_more)
    except (NotFound, WrongState):
        if not is_more:  # otherwise the job has ended meanwhile, and its whole log follows
            await call.logs.delete([call.job_id])
        raise
