"""Keeping a log and letting it go: its bytes in the log store, and the note of it at the job."""

import asyncio
from contextlib import suppress

from broker.core.errors import NotFound, StoreUnavailable, TitanError, WrongState
from broker.http.request.body import expect
from broker.http.request.context import Call
from broker.http.request.multipart import log_pieces
from broker.http.request.query_params import LogQuery
from broker.http.server.connection_guard import in_all
from broker.models.jobs import Job


async def keep_log(call: Call) -> Job:
    """Take in the log of a job that runs or has run; what is there of an earlier one goes when all of it is in.

    Refused before anything of the body is read when there is no such job, or it has not run. That a log comes is noted
    first, so that a broker that dies in between leaves nothing behind that does not go with the job. A log of which
    more follows is the beginning of that of a running job; with a lease it must be that of the delivery that holds it.
    """
    is_more, lease = call.query(LogQuery).more == 1, call.lease(None)
    try:
        pieces = log_pieces(call.web, call.settings)
    except TitanError:
        await call.store.jobs.show(call.group, call.job_id)  # that there is no such job goes before what its log is
        raise
    await call.store.jobs.log(call.group, call.job_id, lease=lease, is_more=is_more)
    await expect(call.web)
    async with in_all(call.settings.log_timeout_s):
        size_bytes = await call.logs.write(call.job_id, pieces)
    return await asyncio.shield(_note(call, size_bytes, lease, is_more=is_more))


async def discard_log(call: Call) -> None:
    """Delete the log of a job that is gone. When that fails it is left to the reaper."""
    with suppress(StoreUnavailable):
        await call.logs.delete([call.job_id])
        await call.store.maintenance.forget([call.job_id])


async def _note(call: Call, size_bytes: int, lease: str, *, is_more: bool) -> Job:
    try:
        return await call.store.jobs.log(call.group, call.job_id, size_bytes, lease, is_more=is_more)
    except (NotFound, WrongState):
        if not is_more:  # else the job ended meanwhile, and its last log is on its way
            await call.logs.delete([call.job_id])
        raise
