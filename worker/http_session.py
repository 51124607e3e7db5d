"""The session of the worker and of commands: JSON bodies as structs, over the session of the client library."""

import ssl
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Self, TypeVar

import aiohttp
import msgspec

from broker.core.version import own_version
from titan.addresses import OPTIONS, broker_address
from titan.async_session import AsyncSession
from titan.calls import JSON, TEXT
from titan.settings import ClientSettings, headers_of
from worker.responses import decode_answer

T = TypeVar("T")
Query = Iterable[tuple[str, str | int]]


class HttpSession(AsyncSession):
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
        addresses = tuple(broker_address(url, OPTIONS) for url in urls or [""])
        headers = headers_of(token, own_version())
        super().__init__(ClientSettings(addresses, headers, tls, timeout_s, retries=0), OPTIONS, connections)
        self.timeout_s = timeout_s

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        return self

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
        headers = JSON | ({"Idempotency-Key": key} if key else {})
        async with self.send(method, path, _json(body), query, headers, self.total_limit(extra_s)) as answer:
            return decode_answer(await answer.read(), result_type, str(answer.url))

    async def request_tagged(
        self, method: str, path: str, result_type: type[T], body: object = None, if_match: str = ""
    ) -> tuple[T, str]:
        """Send a JSON request, with If-Match if given; the decoded answer and its ETag."""
        headers = JSON | ({"If-Match": if_match} if if_match else {})
        async with self.send(method, path, _json(body), (), headers, self.total_limit()) as answer:
            decoded = decode_answer(await answer.read(), result_type, str(answer.url))
            return decoded, answer.headers.get("ETag", "")

    async def request_headers(self, method: str, path: str, body: object = None) -> Mapping[str, str]:
        """Send a request whose answer has no body; the headers of the answer."""
        async with self.send(method, path, _json(body), (), JSON, self.total_limit()) as answer:
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
        headers = ({} if content is None else TEXT) | ({"Titan-Lease": lease} if lease else {})
        limits = self.pause_limit(pause_s or self.timeout_s)
        async with self.send(method, path, content, query, headers, limits, may_pause=pause_s > 0) as answer:
            yield answer


def _json(body: object) -> bytes | None:
    return None if body is None else msgspec.json.encode(body)
