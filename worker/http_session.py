"""How a client talks to the broker: one session, each request sent once, every trouble one of broker.core.errors."""

import ssl
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self, TypeVar

import aiohttp
import msgspec
from yarl import URL

from broker.core.errors import StoreUnavailable
from worker.responses import BrokerSilent, BrokerUnavailable, decoded, refusal
from worker.unreachable import broker_address, why

T = TypeVar("T")
Query = Iterable[tuple[str, str | int]]

_CONNECT_S = 5.0
_JSON = {"Content-Type": "application/json"}
_TEXT = {"Content-Type": "text/plain; charset=utf-8"}


class HttpSession:
    """A session with a broker, as an async context manager. Used by one event loop.

    Of several addresses one is used until it fails; then the next one is, for whatever is sent after that. `tls` says
    whom a https:// broker is trusted by, as `tls_of` makes it; without it that is whom the system trusts. Raises
    ValueError for an address that cannot be a broker's.
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
        self._roots = [broker_address(url) for url in urls or [""]]
        self._heard = set[int]()
        self._current = 0
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._tls = tls
        self.timeout_s = timeout_s
        self._connections = connections

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers=self._headers,
            connector=aiohttp.TCPConnector(limit=self._connections, ssl=self._tls or True),
            cookie_jar=aiohttp.DummyCookieJar(),
            middlewares=(_once,),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def ask(
        self,
        method: str,
        path: str,
        gives: type[T],
        body: object = None,
        *,
        query: Query = (),
        key: str = "",
        more_s: float = 0.0,
    ) -> T:
        """Send one request with a JSON body and read the whole answer, in `timeout_s` and `more_s` at most."""
        headers = {"Idempotency-Key": key} if key else {}
        async with self._answer(method, path, _json(body), query, _JSON | headers, self._whole(more_s)) as answer:
            return decoded(await answer.read(), gives, str(answer.url))

    async def tell(self, method: str, path: str, body: object = None) -> Mapping[str, str]:
        """Send one request that has no body in its answer; the answer's headers."""
        async with self._answer(method, path, _json(body), (), _JSON, self._whole()) as answer:
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
        """Send text and read the answer as it comes; only a pause of `timeout_s` or `pause_s` in it is too long.

        With `pause_s`, an answer that has begun and pauses or breaks off raises BrokerSilent, since a broker that has
        nothing to say, and a proxy that waits for it no longer, are no fault of the broker.
        """
        headers = ({} if content is None else _TEXT) | ({"Titan-Lease": lease} if lease else {})
        limits = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=pause_s or self.timeout_s)
        may_pause = pause_s > 0
        async with self._answer(method, path, content, query, headers, limits, may_pause=may_pause) as answer:
            yield answer

    @asynccontextmanager
    async def _answer(
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
        current, is_begun = self._current, False
        url = URL(f"{self._roots[current]}/v1{path}", encoded=True)
        params = [(name, str(value)) for name, value in query if value != ""]
        try:
            async with self._session.request(
                method, url, params=params, data=content, headers=headers, timeout=limits, allow_redirects=False
            ) as answer:
                self._heard.add(current)
                if answer.status >= 300:
                    raise refusal(answer.status, answer.headers, await answer.read(), self._roots[current])
                is_begun = may_pause
                yield answer
        except (BrokerUnavailable, StoreUnavailable):
            self._failed(current)
            raise
        except (_Dropped, aiohttp.ClientError, TimeoutError, OSError) as error:
            if is_begun:
                raise BrokerSilent from error
            self._failed(current)
            raise BrokerUnavailable(self._why(error, current, limits)) from error

    def _why(self, error: BaseException, current: int, limits: aiohttp.ClientTimeout) -> str:
        fault = error.__cause__ if isinstance(error, _Dropped) and error.__cause__ else error
        is_unconnected = isinstance(fault, aiohttp.ConnectionTimeoutError)
        limit_s = _CONNECT_S if is_unconnected else limits.total or limits.sock_read or 0
        return why(fault, self._roots[current], is_heard=current in self._heard, limit_s=limit_s)

    def _failed(self, current: int) -> None:
        """Turn to the next broker, unless another call has done so already."""
        if current == self._current:
            self._current = (current + 1) % len(self._roots)

    def _whole(self, more_s: float = 0.0) -> aiohttp.ClientTimeout:
        return aiohttp.ClientTimeout(total=self.timeout_s + more_s, sock_connect=_CONNECT_S)


def tls_of(ca_file: str = "", cert_file: str = "") -> ssl.SSLContext | None:
    """How to speak TLS with a broker: trusting these authorities, showing this certificate; None for the system's way.

    Raises ValueError for a file that cannot be used.
    """
    if not (ca_file or cert_file):
        return None
    at = ca_file
    try:
        tls = ssl.create_default_context(cafile=ca_file or None)
        at = cert_file
        if cert_file:
            tls.load_cert_chain(cert_file)
    except OSError as error:
        raise ValueError(f"{at} cannot be used: {error.strerror or error}") from error
    return tls


class _Dropped(Exception):
    """A connection that was dropped; the cause is aiohttp's error."""


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Hide a dropped connection from aiohttp, which would send a GET again: GET /jobs would take jobs twice."""
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _Dropped from error


def _json(body: object) -> bytes | None:
    return None if body is None else msgspec.json.encode(body)
