"""The verb of live views: watch."""

import asyncio

from aiohttp import web

from broker.http.live import SLOW_S, view_path
from broker.http.request.context import Call
from broker.http.request.query_params import LiveQuery

_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Accel-Buffering": "no",
}


async def watch(call: Call) -> web.StreamResponse:
    """Send a view as server-sent events: the answer of its GET, again when it changes; as `problem` an error."""
    live, path = call.context.live, view_path(call.query(LiveQuery).view)
    with live.one():
        events = live.events(path, call.grant, call.request, is_masked=call.masking is not None)
        first = await anext(events)
        response = web.StreamResponse(headers=_HEADERS)
        await response.prepare(call.web)
        await _write(call.web, response, first)
        async for event in events:
            await _write(call.web, response, event)
    await response.write_eof()
    return response


async def _write(request: web.Request, response: web.StreamResponse, event: bytes) -> None:
    """Send an event. A client that does not read it is dropped."""
    try:
        async with asyncio.timeout(SLOW_S):
            await response.write(event)
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError from None
