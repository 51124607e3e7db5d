"""A response of server-sent events: how it begins, and a client that reads nothing is dropped."""

import asyncio

from aiohttp import web

SLOW_S = 10.0
"""How long a client may take to read what is sent, in s."""
_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Accel-Buffering": "no",
}


async def begin(request: web.Request) -> web.StreamResponse:
    """Send the head of the response. Proxies must neither keep nor hold back what follows."""
    response = web.StreamResponse(headers=_HEADERS)
    await response.prepare(request)
    return response


async def send(request: web.Request, response: web.StreamResponse, events: bytes, limit_s: float | None = None) -> None:
    """Send one or more events. Raises ConnectionResetError, with the connection cut, if the client does not read."""
    try:
        async with asyncio.timeout(limit_s or SLOW_S):
            await response.write(events)
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError from None
