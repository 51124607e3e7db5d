"""The HTTP session of a client: each request is sent once, and every failure is one of broker.core.errors."""

import ssl
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self, TypeVar

import aiohttp
import msgspec
from titan.addresses import OPTIONS, broker_address
from titan.answers import refusal
from titan.errors import BrokerSilent, BrokerUnavailable, SpeaksDialect
from titan.settings import OWN_CLIENT
from yarl import URL

from broker.core.dialect import DIALECT_HEADER, refusal_of_dialect
from broker.core.errors import StoreUnavailable
from broker.core.version import own_version
from worker.responses import decode_answer
from worker.unreachable import explain_failure

T = TypeVar("T")
Query = Iterable[tuple[str, str | int]]

_CONNECT_S = 5.0
_MOST_SHOWN = 64
"""How many characters of a header are shown."""
_JSON = {"Content-Type": "application/json"}
_TEXT = {"Content-Type": "text/plain; charset=utf-8"}


class HttpSession:
    """A session with a broker, as an async context manager. Used by one event loop.

    It refuses a broker that speaks a dialect: SpeaksDialect. Of several addresses it uses one until it fails, and then
    the next one for later requests. `tls`: authorities and certificate for a https:// broker, from `tls_of`; without it
    the authorities of the system. Raises ValueError for an invalid address.
    """

    def __init__(
        self,
        broker_url: str | Sequence[str],
        *,
        token: str = "",
        tls: ssl.SSLContext | None = None,
        timeout_s: float = 10.0,
        connections: int = 100,
    ) -> None:
        urls = [broker_url] if isinstance(broker_url, str) else broker_url
        self._base_urls = [broker_address(url, OPTIONS) for url in urls or [""]]
        self._answered = set[int]()
        self._current = 0
        self._headers = {"User-Agent": OWN_CLIENT + own_version()}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._tls = tls
        self.timeout_s = timeout_s
        self._connections = connections

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers=self._headers,
            connector=aiohttp.TCPConnector(limit=self._connections, ssl=self._tls or True),
            cookie_jar=aiohttp.DummyCookieJar(),
            middlewares=(_send_once,),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def request_json(
        self,
        method: str,
        path: str,
        result_type: type[T],
        body: object = None,
        *,
        query: Query = (),
        key: str = "",
        extra_s: float = 0.0,
    ) -> T:
        """Send a JSON request and decode the answer; it may take `timeout_s` plus `extra_s`."""
        headers = {"Idempotency-Key": key} if key else {}
        async with self._send(method, path, _json(body), query, _JSON | headers, self._total_limit(extra_s)) as answer:
            return decode_answer(await answer.read(), result_type, str(answer.url))

    async def request_tagged(
        self, method: str, path: str, result_type: type[T], body: object = None, if_match: str = ""
    ) -> tuple[T, str]:
        """Send a JSON request, with If-Match if given; the decoded answer and its ETag."""
        headers = _JSON | ({"If-Match": if_match} if if_match else {})
        async with self._send(method, path, _json(body), (), headers, self._total_limit()) as answer:
            decoded = decode_answer(await answer.read(), result_type, str(answer.url))
            return decoded, answer.headers.get("ETag", "")

    async def request_headers(self, method: str, path: str, body: object = None) -> Mapping[str, str]:
        """Send a request whose answer has no body; the headers of the answer."""
        async with self._send(method, path, _json(body), (), _JSON, self._total_limit()) as answer:
            return answer.headers

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        content: bytes | AsyncIterator[bytes] | None = None,
        *,
        query: Query = (),
        lease: str = "",
        pause_s: float = 0,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send text and stream the answer, which may not pause for `timeout_s`, or for `pause_s` if given.

        With `pause_s` an answer that pauses or breaks off raises BrokerSilent: the broker may have nothing to send, or
        a proxy may have closed the connection.
        """
        headers = ({} if content is None else _TEXT) | ({"Titan-Lease": lease} if lease else {})
        limits = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=pause_s or self.timeout_s)
        may_pause = pause_s > 0
        async with self._send(method, path, content, query, headers, limits, may_pause=may_pause) as answer:
            yield answer

    @asynccontextmanager
    async def _send(
        self,
        method: str,
        path: str,
        content: bytes | AsyncIterator[bytes] | None,
        query: Query,
        headers: Mapping[str, str],
        limits: aiohttp.ClientTimeout,
        *,
        may_pause: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        current, may_break = self._current, False
        url = URL(f"{self._base_urls[current]}/v1{path}", encoded=True)
        params = [(name, str(value)) for name, value in query if value != ""]
        try:
            async with self._session.request(
                method, url, params=params, data=content, headers=headers, timeout=limits, allow_redirects=False
            ) as answer:
                self._answered.add(current)
                if DIALECT_HEADER in answer.headers:
                    broker = f"The broker at {self._base_urls[current]}"
                    raise SpeaksDialect(refusal_of_dialect(answer.headers[DIALECT_HEADER][:_MOST_SHOWN], broker))
                if answer.status >= 300:
                    raise refusal(answer.status, answer.headers, await answer.read(), self._base_urls[current], OPTIONS)
                may_break = may_pause
                yield answer
        except (BrokerUnavailable, SpeaksDialect, StoreUnavailable):
            self._use_next_broker(current)
            raise
        except (_ConnectionDropped, aiohttp.ClientError, TimeoutError, OSError) as error:
            if may_break:
                raise BrokerSilent from error
            self._use_next_broker(current)
            raise BrokerUnavailable(self._explain(error, current, limits)) from error

    def _explain(self, error: BaseException, current: int, limits: aiohttp.ClientTimeout) -> str:
        fault = error.__cause__ if isinstance(error, _ConnectionDropped) and error.__cause__ else error
        is_unconnected = isinstance(fault, aiohttp.ConnectionTimeoutError)
        limit_s = _CONNECT_S if is_unconnected else limits.total or limits.sock_read or 0
        return explain_failure(fault, self._base_urls[current], has_answered=current in self._answered, limit_s=limit_s)

    def _use_next_broker(self, current: int) -> None:
        """Switch to the next broker, unless another call has done that already."""
        if current == self._current:
            self._current = (current + 1) % len(self._base_urls)

    def _total_limit(self, extra_s: float = 0.0) -> aiohttp.ClientTimeout:
        return aiohttp.ClientTimeout(total=self.timeout_s + extra_s, sock_connect=_CONNECT_S)


class _ConnectionDropped(Exception):
    """A dropped connection; the cause is the error of aiohttp."""


async def _send_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Hide a dropped connection from aiohttp, which would repeat a GET: GET /jobs would dequeue jobs twice."""
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _ConnectionDropped from error


def _json(body: object) -> bytes | None:
    return None if body is None else msgspec.json.encode(body)
