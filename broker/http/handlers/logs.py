"""The verbs of logs: log, read_log. A log is streamed in both directions and never whole in memory."""

from collections.abc import AsyncIterator

from aiohttp import web

from broker.core.errors import NotFound
from broker.http.log_upload import keep_log
from broker.http.request.context import Call
from broker.http.request.query_params import TailQuery
from broker.http.responses import Response, json, stream, text
from broker.http.ui.masked_log import MaskedFollowing
from broker.http.ui.masking import HELD_BYTES
from broker.logs.follower import Following, events
from broker.models.jobs import JobWrapper

_EVENTS = "text/event-stream"


async def log(call: Call) -> Response:
    """Store the log of a job. It replaces an earlier one."""
    return json(JobWrapper(await keep_log(call)))


async def read_log(call: Call) -> web.StreamResponse:
    """Read the log of a job, or its last lines. With `follow`, continue until it is complete, as text or as events."""
    query = call.query(TailQuery)
    if query.follow:
        return await _follow(call, query)
    if not await call.store.jobs.has_log(call.group, call.job_id):
        raise NotFound("The job has no log.")
    if query.tail is not None:
        return await text(call.web, _masked(call, await call.logs.tail(call.job_id, query.tail)), name=call.job_id)
    lead = _lead(call, query.start)
    size_bytes, pieces = await call.logs.read(call.job_id, query.start - lead)
    return await text(call.web, _masked(call, pieces, lead), max(0, size_bytes - query.start), name=call.job_id)


def _lead(call: Call, start: int) -> int:
    """How many bytes before `start` are read as well: the value of a name is masked only where the name was seen."""
    return 0 if call.masking is None else min(start, HELD_BYTES)


def _masked(call: Call, pieces: AsyncIterator[bytes], lead: int = 0) -> AsyncIterator[bytes]:
    """The pieces of a log without its lead, masked for a session."""
    return pieces if call.masking is None else call.masking.log(pieces, lead)


async def _follow(call: Call, query: TailQuery) -> web.StreamResponse:
    start = query.start
    if query.tail is not None and await call.store.jobs.has_log(call.group, call.job_id):
        start = await call.logs.place_of_tail(call.job_id, query.tail)
    seen = call.request.headers.get("Last-Event-ID", "")
    start = int(seen) if seen.isascii() and seen.isdigit() and len(seen) < 16 else start  # a browser that reconnects
    with call.context.followers.one():
        read = Following(call.context.followers, call.store, call.logs, start - _lead(call, start))
        following = read if call.masking is None else MaskedFollowing(read, call.masking, start)
        pieces = following.pieces(call.group, call.job_id)
        headers = {"Titan-Log-Start": str(start)}
        if _EVENTS in call.request.headers.get("Accept", ""):
            return await stream(call.web, events(following, pieces), {**headers, "Content-Type": _EVENTS})
        return await stream(call.web, pieces, headers)
