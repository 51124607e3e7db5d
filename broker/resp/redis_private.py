"""The private names of redis-py that the broker uses. No other module uses one.

An update of redis-py may rename or remove them. A unit test checks that each of them exists.
"""

from typing import Any, Protocol

from redis import exceptions
from redis._parsers import BaseParser
from redis.asyncio.connection import Connection, SSLConnection


class Resolver(Protocol):
    """Finds the host and port of a server that may move."""

    must_be_primary: bool

    async def __call__(self) -> tuple[str, int]:
        """Host and port for a new connection."""

    def opened(self, connection: "ResolvingConnection") -> None:
        """Drop this connection when the server moves."""

    def trouble(self, reason: str) -> None:
        """An error shows that the server may have moved."""


parse_error = BaseParser.parse_error
"""Makes an exception of redis-py from the text of an error reply."""

CODES: dict[type[Exception], str] = {
    kind: code for code, kind in BaseParser.EXCEPTION_CLASSES.items() if isinstance(kind, type)
}
"""The store's code, such as READONLY, of each exception class. redis-py removes the code from the text."""


class WrongServer(exceptions.ConnectionError):
    """The server refused a command because another server must be called. Nothing was executed."""


class ResolvingConnection(Connection):
    """A connection that calls `resolve` for its address, and closes when its server is no longer the right one."""

    def __init__(self, *, resolve: Resolver, **options: Any) -> None:
        super().__init__(**options)
        self._resolve = resolve
        self._is_dropped = False

    async def _connect(self) -> None:
        self.host, self.port = await self._resolve()
        await super()._connect()  # type: ignore[no-untyped-call]
        self._is_dropped = False
        try:
            self._resolve.opened(self)
        except exceptions.ConnectionError:
            self.drop()
            raise

    @property
    def place(self) -> tuple[str, int]:
        """Where it leads."""
        return self.host, self.port

    def drop(self) -> None:
        """Close it at once. A call in flight fails; redis-py connects again before the next one."""
        self._is_dropped = True
        if self._writer is not None:
            self._writer.transport.abort()

    async def connect(self) -> None:
        """Connect if it is not connected, or was dropped."""
        if self._is_dropped:
            await self.disconnect(nowait=True)
        await super().connect()  # type: ignore[no-untyped-call]

    async def send_packed_command(self, *arguments: Any, **options: Any) -> None:
        """Send commands. Raises ConnectionError when it was dropped after the pool had given it to a caller."""
        if self._is_dropped and self.is_connected:
            await self.disconnect(nowait=True)
            raise exceptions.ConnectionError(f"the server is no longer at {self.host}:{self.port}")
        await super().send_packed_command(*arguments, **options)

    async def on_connect_check_health(self, check_health: bool = True) -> None:  # noqa: FBT002 - as redis-py has it
        """Log in, and check that the server is a primary if it must be one."""
        await super().on_connect_check_health(check_health)
        if self._resolve.must_be_primary:
            await self.send_command("ROLE", check_health=False)
            try:
                role = await self.read_response()
            except exceptions.NoPermissionError:
                return
            if role[0] not in {b"master", "master"}:
                raise exceptions.ConnectionError(f"the server at {self.host}:{self.port} is no primary")

    async def read_response(self, *arguments: Any, **options: Any) -> Any:
        """Read a reply. Raises WrongServer when the server does not accept writes, or does not have the slot."""
        try:
            return await super().read_response(*arguments, **options)
        except (exceptions.ReadOnlyError, exceptions.MovedError) as error:
            self._resolve.trouble(str(error))
            await self.disconnect(nowait=True)
            raise WrongServer(f"this is not the right server any more: {error}") from error
        except exceptions.ResponseError as error:
            if str(error).startswith("NOREPLICAS"):
                self._resolve.trouble("NOREPLICAS")
            raise


class ResolvingTLSConnection(ResolvingConnection, SSLConnection):
    """The same over TLS."""
