"""Logs: log, read_log. Streamed both ways, never whole in memory."""

from aiohttp import web

from broker.api.answers import json, text
from broker.api.call import Call
from broker.api.logbook import keep_log
from broker.api.queries import TailQuery
from broker.errors import NotFound
from broker.models import JobWrapper


async def log(call: Call) -> web.StreamResponse:
    """Store a job's log in the place of an earlier one."""
    return json(JobWrapper(await keep_log(call)))


async def read_log(call: Call) -> web.StreamResponse:
    """Read a job's log, or its last lines."""
    query = call.query(TailQuery)
    if not await call.store.has_log(call.group, call.job_id):
        raise NotFound("The job has no log.")
    if query.tail is not None:
        return await text(call.request, await call.logs.tail(call.job_id, query.tail))
    size_bytes, pieces = await call.logs.read(call.job_id)
    return await text(call.request, pieces, size_bytes)
