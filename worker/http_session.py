"""The session of the worker and of commands: JSON bodies as structs, over the session of the client library."""

import ssl
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Self, TypeVar

import aiohttp
import msgspec

from broker.core.version import own_version
from titan.addresses import OPTIONS, broker_address
from titan.async_session import AsyncSession
from titan.calls import Query, Request, target
from titan.settings import ClientSettings, headers_of
from worker.responses import decode_answer

T = TypeVar("T")


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

    @staticmethod
    def encode(body: object) -> bytes:
        """The body of a request as JSON; it may have structs."""
        return msgspec.json.encode(body)

    async def ask(self, request: Request, result_type: type[T]) -> T:
        """The decoded answer to a request; it may take `timeout_s` plus `extra_s` of the request."""
        answer = await self.answer(request)
        return decode_answer(answer.body, result_type, answer.url)

    async def get(self, path: str, result_type: type[T], query: Query = ()) -> T:
        """The decoded answer to a GET."""
        return await self.ask(Request("GET", target(path, query)), result_type)

    def stream(self, request: Request, pause_s: float = 0) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Send text and stream the answer, which may not pause for `timeout_s`, or for `pause_s` if given.

        With `pause_s` an answer that pauses or breaks off raises BrokerSilent: the broker may have nothing to send, or
        a proxy may have closed the connection.
        """
        return self.send(request, self.pause_limit(pause_s or self.timeout_s), may_pause=pause_s > 0)
