"""Reads the body of a request within limits, and only when a handler needs it."""

import asyncio
from collections.abc import Mapping

from aiohttp import web

from broker.core.errors import Invalid, TooLarge, TooSlow, UnsupportedType
from broker.core.settings import BrokerSettings
from broker.http.server.connection_guard import time_limit
from broker.http.server.fast_request import FastRequest
from broker.http.server.header_block import BROWSERS

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
WEIGHT = web.RequestKey("WEIGHT", int)
"""The key under which a request of aiohttp has its weight in admission control."""
REQUEST_ID = web.RequestKey("REQUEST_ID", str)
"""The key under which it has its id."""
BY = web.RequestKey("BY", str)
"""The key under which it has the name of its token, for the access log."""


class Streamed:
    """A request that aiohttp parsed, as handlers see it."""

    __slots__ = ("headers", "is_of_browser", "query_string", "web")

    def __init__(self, request: web.Request) -> None:
        self.web = request
        self.headers = request.headers
        self.query_string = request.rel_url.raw_query_string
        self.is_of_browser = any(name in request.headers for name in BROWSERS)

    @property
    def peer(self) -> str:
        """The address that sent the request; '' when it is gone."""
        return self.web.remote or ""

    @property
    def request(self) -> str:
        """The id of the request."""
        return str(self.web.get(REQUEST_ID, ""))

    @property
    def by(self) -> str:
        """The name of its token."""
        return str(self.web.get(BY, ""))

    @by.setter
    def by(self, name: str) -> None:
        self.web[BY] = name


Request = FastRequest | Streamed


def header_values(request: Request, name: str) -> list[str]:
    """All headers of a name. A fast request has one at most."""
    if isinstance(request, Streamed):
        return request.web.headers.getall(name, [])
    return [request.headers[name]] if name in request.headers else []


async def read_body(request: Request, settings: BrokerSettings, types: tuple[str, ...] = (JSON,)) -> bytes:
    """The whole body; empty when there is none.

    Raises UnsupportedType for a Content-Type that is not in `types` and for any Content-Encoding, TooLarge above
    max_body_bytes, TooSlow when nothing arrives for body_timeout_s or the whole body takes longer than json_timeout_s.
    """
    if isinstance(request, FastRequest):
        if request.body:
            _check_type(request, types)
        return request.body
    return await _streamed_body(request.web, settings, types)


async def _streamed_body(request: web.Request, settings: BrokerSettings, types: tuple[str, ...]) -> bytes:
    if not request.body_exists:
        return b""
    _check_type(request, types)
    limit = settings.max_body_bytes
    if (request.content_length or 0) > limit:
        raise TooLarge(f"The body may have {limit} bytes at most.")
    content = request.content
    if content.is_eof() and content.total_bytes <= limit and content.exception() is None:
        return content.read_nowait(-1)
    await expect(request)
    body = bytearray()
    async with time_limit(settings.json_timeout_s):
        while piece := await _piece(request, settings.body_timeout_s):
            body += piece
            if len(body) > limit:
                raise TooLarge(f"The body may have {limit} bytes at most.")
    return bytes(body)


async def expect(request: web.BaseRequest) -> None:
    """Answer 100 Continue to a client that waits for it (Expect: 100-continue) before it sends its body."""
    if request.headers.get("Expect", "").lower() == "100-continue" and request.version >= (1, 1):
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0


def media_type(request: Request | web.BaseRequest) -> str:
    """The Content-Type without parameters, in lower case; '' when there is none."""
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def check_encodings(headers: Mapping[str, str]) -> None:
    """Raise UnsupportedType for a compressed or otherwise encoded body. Only chunked is allowed."""
    if "Content-Encoding" in headers:
        raise UnsupportedType("A Content-Encoding is not supported.")
    if headers.get("Transfer-Encoding", "chunked").strip().lower() != "chunked":
        raise UnsupportedType("A Transfer-Encoding other than chunked is not supported.")


def _check_type(request: FastRequest | web.BaseRequest, types: tuple[str, ...]) -> None:
    check_encodings(request.headers)
    given = media_type(request)
    if given and given not in types:
        raise UnsupportedType(f"The Content-Type must be {' or '.join(types)}.")


async def _piece(request: web.BaseRequest, pause_s: float) -> bytes:
    try:
        async with asyncio.timeout(pause_s):
            return await request.content.readany()
    except TimeoutError:
        raise TooSlow from None
    except (web.RequestPayloadError, ConnectionError):
        raise Invalid("The body broke off.") from None
