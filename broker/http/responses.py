"""Answers: JSON, nothing, or a stream of text."""

from collections.abc import AsyncIterator, Callable, Mapping

from aiohttp import web
from msgspec import Struct

from broker.http.request.decoding import encode

Headers = tuple[tuple[str, str], ...]
_JSON = (("Content-Type", "application/json"),)
_NO_STORE = (*_JSON, ("Cache-Control", "no-store"))
_TEXT = {
    "Content-Type": "text/plain; charset=utf-8",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cache-Control": "no-cache",
}


class Response(Struct, frozen=True):
    """A whole answer. `unsent` is called when the client is gone before it is written."""

    status: int
    body: bytes = b""
    headers: Headers = _JSON
    unsent: Callable[[], None] | None = None


def json(body: Struct, status: int = 200, headers: Headers = ()) -> Response:
    """An answer with a JSON body."""
    return Response(status, encode(body), _JSON + headers)


def document(body: bytes, status: int = 200, headers: Headers = ()) -> Response:
    """An answer whose JSON is ready-made."""
    return Response(status, body, _JSON + headers)


def handed_out(body: bytes, unsent: Callable[[], None]) -> Response:
    """An answer that nobody may keep, and that must be undone when it cannot be written."""
    return Response(200, body, _NO_STORE, unsent)


def plain(body: str, content_type: str) -> Response:
    """An answer of text that is ready-made."""
    return Response(200, body.encode(), (("Content-Type", content_type), ("Cache-Control", "no-store")))


def nothing(headers: Headers = ()) -> Response:
    """204."""
    return Response(204, b"", headers)


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
