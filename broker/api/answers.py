"""Answers: JSON, nothing, or a stream of text."""

from collections.abc import AsyncIterator, Mapping

from aiohttp import web
from msgspec import Struct

from broker.api.codec import encode

_JSON = {"Content-Type": "application/json"}
_NO_STORE = {**_JSON, "Cache-Control": "no-store"}
_TEXT = {
    "Content-Type": "text/plain; charset=utf-8",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cache-Control": "no-cache",
}


def json(body: Struct, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """An answer with a JSON body."""
    return web.Response(status=status, body=encode(body), headers={**_JSON, **headers} if headers else _JSON)


def json_no_store(body: Struct) -> web.Response:
    """An answer that nobody may keep."""
    return web.Response(body=encode(body), headers=_NO_STORE)


def document(body: bytes) -> web.Response:
    """An answer whose JSON is ready-made."""
    return web.Response(body=body, headers=_JSON)


def plain(body: str, content_type: str) -> web.Response:
    """An answer of text that is ready-made."""
    return web.Response(body=body.encode(), headers={"Content-Type": content_type, "Cache-Control": "no-store"})


def nothing(headers: Mapping[str, str] | None = None) -> web.Response:
    """204."""
    return web.Response(status=204, headers=headers)


async def stream(
    request: web.BaseRequest, pieces: AsyncIterator[bytes], headers: Mapping[str, str]
) -> web.StreamResponse:
    """Stream what comes with time. The answer begins when the first piece is there; an empty one is not sent."""
    first = await anext(pieces, b"")
    response = web.StreamResponse(headers={**_TEXT, **headers, "X-Accel-Buffering": "no"})
    await response.prepare(request)
    if first:
        await response.write(first)
    async for piece in pieces:
        if piece:
            await response.write(piece)
    await response.write_eof()
    return response


async def text(
    request: web.BaseRequest, pieces: AsyncIterator[bytes], size_bytes: int | None = None
) -> web.StreamResponse:
    """Stream text. The first piece is read before the answer begins, so that what is wrong by then is a refusal."""
    first = await anext(pieces, b"")
    response = web.StreamResponse(headers=_TEXT)
    response.content_length = size_bytes
    await response.prepare(request)
    await response.write(first)
    async for piece in pieces:
        await response.write(piece)
    await response.write_eof()
    return response
