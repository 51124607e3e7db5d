"""The private names of redis-py that the broker uses. No other module uses one.

An update of redis-py may rename or remove them. A unit test checks that each of them exists.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from redis import exceptions
from redis._parsers import BaseParser
from redis.asyncio.connection import Connection, SSLConnection

Resolver = Callable[[], Awaitable[tuple[str, int]]]
"""Finds the host and port of a server that may move."""

parse_error = BaseParser.parse_error
"""Makes an exception of redis-py from the text of an error reply."""

CODES: dict[type[Exception], str] = {
    kind: code for code, kind in BaseParser.EXCEPTION_CLASSES.items() if isinstance(kind, type)
}
"""The store's code, such as READONLY, of each exception class. redis-py removes the code from the text."""


class ResolvingConnection(Connection):
    """A connection that calls `resolve` for its address, and closes when its server is no longer the right one."""

    def __init__(self, *, resolve: Resolver, **options: Any) -> None:
        super().__init__(**options)
        self._resolve = resolve

    async def _connect(self) -> None:
        self.host, self.port = await self._resolve()
        await super()._connect()  # type: ignore[no-untyped-call]

    async def read_response(self, *arguments: Any, **options: Any) -> Any:
        """Read a reply. Raises ConnectionError when the server does not accept writes, or does not have the slot."""
        try:
            return await super().read_response(*arguments, **options)
        except (exceptions.ReadOnlyError, exceptions.MovedError) as error:
            await self.disconnect(nowait=True)
            raise exceptions.ConnectionError(f"this is not the right server any more: {error}") from error


class ResolvingTLSConnection(ResolvingConnection, SSLConnection):
    """The same over TLS."""
