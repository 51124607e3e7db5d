"""The HTTP session of asynchronous clients, by aiohttp: it sends a request once, and each failure is a TitanError."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
from yarl import URL

from titan.addresses import ARGUMENTS, Names, explain_other_protocol, explain_unanswered, explain_unconnected
from titan.answers import refusal
from titan.calls import Answer, Request, encode
from titan.dialect import check_dialect
from titan.errors import BrokerSilent, BrokerUnavailable, BrokerUnreachable, SpeaksDialect, StoreUnavailable
from titan.settings import CONNECT_S, ClientSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType

_UNCONNECTED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, ssl.SSLError)


class AsyncSession:
    """A session with a broker, as an async context manager. Used by one event loop.

    Of several addresses it uses one until it fails, and then the next one for later requests. `names`: how messages
    call the settings. `connections`: the most connections at once.
    """

    def __init__(self, settings: ClientSettings, names: Names = ARGUMENTS, connections: int = 100) -> None:
        self._settings = settings
        self._names = names
        self._connections = connections
        self._answered: set[int] = set()
        self._current = 0

    @staticmethod
    def encode(body: object) -> bytes:
        """The body of a request as JSON. A subclass may have structs as bodies."""
        return encode(body)

    async def __aenter__(self) -> AsyncSession:
        self._session = aiohttp.ClientSession(
            headers=self._settings.headers,
            connector=aiohttp.TCPConnector(limit=self._connections, ssl=self._settings.tls or True),
            cookie_jar=aiohttp.DummyCookieJar(),
            middlewares=(_send_once,),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    def total_limit(self, extra_s: float = 0.0) -> aiohttp.ClientTimeout:
        """The limit of a request as a whole: the time of the settings, and `extra_s` for a long poll."""
        return aiohttp.ClientTimeout(total=self._settings.timeout_s + extra_s, sock_connect=CONNECT_S)

    def pause_limit(self, pause_s: float) -> aiohttp.ClientTimeout:
        """The limit of a stream: it may take any time, but may not pause for so long."""
        return aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=pause_s)

    async def answer(self, request: Request) -> Answer:
        """The whole answer to a request, below 300."""
        async with self.send(request, self.total_limit(request.extra_s)) as answer:
            return Answer(await answer.read(), answer.headers, str(answer.url))

    @asynccontextmanager
    async def send(
        self, request: Request, limits: aiohttp.ClientTimeout, *, may_pause: bool = False
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer to a request, below 300, to be read.

        With `may_pause` an answer that pauses or breaks off raises BrokerSilent.
        """
        current, may_break = self._current, False
        url = URL(f"{self._settings.urls[current]}/v1{request.target}", encoded=True)
        content = request.text if request.body is None else self.encode(request.body)
        try:
            async with self._session.request(
                request.method, url, data=content, headers=request.headers, timeout=limits, allow_redirects=False
            ) as answer:
                self._answered.add(current)
                check_dialect(answer.headers, self._settings.urls[current])
                if answer.status >= 300:
                    body = await answer.read()
                    raise refusal(answer.status, answer.headers, body, self._settings.urls[current], self._names)
                may_break = may_pause
                yield answer
        except (BrokerUnavailable, SpeaksDialect, StoreUnavailable):
            self._use_next_broker(current)
            raise
        except (_ConnectionDropped, aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            if may_break:
                raise BrokerSilent from error
            self._use_next_broker(current)
            raise self._explained(error, current, limits) from error

    def _explained(self, error: BaseException, current: int, limits: aiohttp.ClientTimeout) -> BrokerUnavailable:
        fault = error.__cause__ if isinstance(error, _ConnectionDropped) and error.__cause__ else error
        is_unconnected = isinstance(fault, aiohttp.ConnectionTimeoutError)
        limit_s = CONNECT_S if is_unconnected else limits.total or limits.sock_read or 0
        has_answered = current in self._answered
        text = explain_failure(
            fault, self._settings.urls[current], self._names, has_answered=has_answered, limit_s=limit_s
        )
        return BrokerUnreachable(text) if isinstance(fault, _UNCONNECTED) else BrokerUnavailable(text)

    def _use_next_broker(self, current: int) -> None:
        """Switch to the next broker, unless another call has done that already."""
        if current == self._current:
            self._current = (current + 1) % len(self._settings.urls)


def explain_failure(
    error: BaseException, base_url: str, names: Names = ARGUMENTS, *, has_answered: bool, limit_s: float
) -> str:
    """Why the broker at `base_url` did not answer aiohttp, and what to do.

    `has_answered`: it has answered before. `limit_s`: how long the client waited, in s.
    """
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return explain_unconnected(error.certificate_error, base_url, limit_s, names)
    if isinstance(error, _UNCONNECTED):
        fault = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
        return explain_unconnected(fault, base_url, limit_s, names)
    if isinstance(error, aiohttp.ClientResponseError):
        return explain_other_protocol(base_url, names)
    if isinstance(error, asyncio.TimeoutError):
        error = TimeoutError()  # before Python 3.11 these are two classes
    return explain_unanswered(error, base_url, limit_s, names, has_answered=has_answered)


class _ConnectionDropped(Exception):
    """A dropped connection; the cause is the error of aiohttp."""


async def _send_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Hide a dropped connection from aiohttp, which would repeat a GET: GET /jobs would dequeue jobs twice."""
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _ConnectionDropped from error
