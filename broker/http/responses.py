"""Responses: JSON, text, nothing, or a stream of text; and the bytes of a response."""

from collections.abc import AsyncIterator, Callable, Mapping
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from time import time

from aiohttp import web
from msgspec import Struct

from broker.http.request.decoding import encode
from broker.http.server.request_id import request_id

Headers = tuple[tuple[str, str], ...]
NO_SNIFF = ("X-Content-Type-Options", "nosniff")
"""A browser must believe the Content-Type. Every response has it."""
_JSON = (("Content-Type", "application/json"), NO_SNIFF)
_NO_STORE = (*_JSON, ("Cache-Control", "no-store"))
_TEXT = {
    "Content-Type": "text/plain; charset=utf-8",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cache-Control": "no-cache",
}
_NO_CONTENT = 204


class Response(Struct, frozen=True):
    """A whole response. `unsent` is called when the client is gone before the response is written."""

    status: int
    body: bytes = b""
    headers: Headers = _JSON
    unsent: Callable[[], None] | None = None


def json(body: Struct, status: int = 200, headers: Headers = ()) -> Response:
    """A response with a JSON body."""
    return Response(status, encode(body), _JSON + headers)


def document(body: bytes, status: int = 200, headers: Headers = ()) -> Response:
    """A response whose body is already JSON."""
    return Response(status, body, _JSON + headers)


def delivered(body: bytes, unsent: Callable[[], None]) -> Response:
    """A response with dequeued jobs. Caches must not keep it, and `unsent` undoes it when it cannot be written."""
    return Response(200, body, _NO_STORE, unsent)


def plain(body: str, content_type: str) -> Response:
    """A response with a text."""
    return Response(200, body.encode(), (("Content-Type", content_type), NO_SNIFF, ("Cache-Control", "no-store")))


def nothing(headers: Headers = ()) -> Response:
    """A response without a body, 204."""
    return Response(204, b"", (NO_SNIFF, *headers))


def fullness(percent: int) -> Headers:
    """The header that says how full a group is by its limits; none if `percent` is 0."""
    return (("Titan-Group-Full", f"{percent / 100:.2f}"),) if percent else ()


def encoded(response: Response, *, is_last: bool, request: str = "") -> bytes:
    """Head and body as bytes. `is_last`: the connection closes after it. `request`: the id of its request."""
    head = _head(response.status, response.headers, is_last, int(time()))
    id_ = (request or request_id()).encode()
    if response.status == _NO_CONTENT:
        return b"%bX-Request-Id: %b\r\n\r\n" % (head, id_)
    return b"%bX-Request-Id: %b\r\nContent-Length: %d\r\n\r\n%b" % (head, id_, len(response.body), response.body)


@lru_cache(maxsize=256)
def _head(status: int, headers: Headers, is_last: bool, second: int) -> bytes:
    """The head without its last headers, which differ. Most responses of one second share it."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers]
    lines += [f"Date: {formatdate(second, usegmt=True)}"]
    lines += ["Connection: close"] if is_last else []
    lines += [""]
    return "\r\n".join(lines).encode("latin-1")


async def stream(
    request: web.BaseRequest, pieces: AsyncIterator[bytes], headers: Mapping[str, str]
) -> web.StreamResponse:
    """Stream text that is still being produced. The response starts with the first piece. Empty pieces are skipped."""
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
    request: web.BaseRequest, pieces: AsyncIterator[bytes], size_bytes: int | None = None, name: str = "text"
) -> web.StreamResponse:
    """Stream text. The first piece is read before the response starts, so that an error up to then is a refusal.

    A browser stores it as a file `name`.txt and does not show it.
    """
    first = await anext(pieces, b"")
    attachment = f'attachment; filename="{name}.txt"'
    response = web.StreamResponse(headers={**_TEXT, "Content-Disposition": attachment})
    response.content_length = size_bytes
    await response.prepare(request)
    await response.write(first)
    async for piece in pieces:
        await response.write(piece)
    await response.write_eof()
    return response
