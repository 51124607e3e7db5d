"""Keeping a log: its bytes in the log store, and the note of it at the job."""

import asyncio

from broker.api.bodies import expect
from broker.api.call import Call
from broker.api.uploads import log_pieces
from broker.errors import NotFound, WrongState
from broker.models import Job
from broker.states import sources


async def keep_log(call: Call) -> Job:
    """Take in the log of a job that runs or has run; what is there of an earlier one goes when all of it is in.

    Raises WrongState before anything of the body is read.
    """
    job = await call.store.show(call.group, call.job_id)
    if job.status not in sources("log"):
        raise WrongState(f"The job is {job.status}: a log belongs to a job that runs or has run.")
    pieces = log_pieces(call.request, call.settings)
    await expect(call.request)
    size_bytes = await call.logs.write(call.job_id, pieces)
    return await asyncio.shield(_note(call, size_bytes))


async def _note(call: Call, size_bytes: int) -> Job:
    try:
        return await call.store.log(call.group, call.job_id, size_bytes)
    except (NotFound, WrongState):
        await call.logs.delete([call.job_id])
        raise
