"""The verb of live views: watch."""

from aiohttp import web

from broker.http.event_stream import begin, send
from broker.http.live import view_path
from broker.http.request.context import Call
from broker.http.request.query_params import LiveQuery


async def watch(call: Call) -> web.StreamResponse:
    """Send a view as server-sent events: the answer of its GET, again when it changes; as `problem` an error."""
    live, path = call.context.live, view_path(call.query(LiveQuery).view)
    with live.one():
        events = live.events(path, call.grant, call.request, is_masked=call.masking is not None)
        first = await anext(events)
        response = await begin(call.web)
        await send(call.web, response, first)
        async for event in events:
            await send(call.web, response, event)
    await response.write_eof()
    return response
