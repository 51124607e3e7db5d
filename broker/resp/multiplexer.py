"""The multiplexer: one pipelined connection to a server, shared by all callers. It reconnects, and never sends again.

Scripts go through it, those that only read too, and plain commands that belong to them. Rare commands use redis-py.
All commands of one iteration of the event loop are sent in one write. Calls made while the server is away wait for one
common attempt to connect.
"""

import asyncio
import logging
import random
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from redis import exceptions
from redis.asyncio.connection import BlockingConnectionPool, Connection, SSLConnection, UnixDomainSocketConnection

from broker.core.events import event
from broker.metrics.exposition import Family, Histogram, Sample, counter, gauge, histogram
from broker.resp.resp_connection import ConnectionLimits, OnError, RespConnection, Word

Address = tuple[str, int] | str
"""Host and port of a server, or the path of its Unix socket."""
_log = logging.getLogger(__name__)
_CLOSED = "the multiplexer is closed"
_FIRST_PAUSE_S = 0.02
_LAST_PAUSE = 0.25
"""The longest pause between attempts to connect, as a part of timeout_s: a call that waits for it can still succeed."""
_FIRST_PROBE_S, _LAST_PROBE_S = 0.1, 2.0
"""Pauses between two probes of a server that does not answer."""


class Endpoint(NamedTuple):
    """The parts of a URL: address, TLS, and the commands that each new connection sends first."""

    address: Address
    tls: ssl.SSLContext | None
    greeting: tuple[tuple[Word, ...], ...]


class Multiplexer:
    """One connection at a time to the server at redis://, rediss:// or unix://, with redis-py's options in the query.

    Create it inside the running loop. The first call connects. `timeout_s` limits a call, the wait for the connection
    included; the first overdue call closes the connection. `max_in_flight` and `max_bytes` limit calls without a reply,
    and the bytes of their commands. Each new connection calls `resolve` for the address, for servers that move; without
    it the address is in the URL. `name` is for messages. `fails_fast`, for one of several servers: while the server
    does not answer, calls fail at once and a probe connects again. `must_be_primary`: each new connection checks ROLE.
    `on_error` gets error replies first, see OnError. Raises ValueError for a URL that cannot be parsed.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float,
        max_in_flight: int = 10_000,
        max_bytes: int = 128 * 1024 * 1024,
        resolve: Callable[[], Awaitable[Address]] | None = None,
        fails_fast: bool = False,
        name: str = "the store",
        must_be_primary: bool = False,
    ) -> None:
        self.on_error: OnError | None = None
        self._endpoint = endpoint_of(url)
        if must_be_primary:
            self._endpoint = self._endpoint._replace(greeting=(*self._endpoint.greeting[:-1], ("ROLE",), ("PING",)))
        self._resolve = resolve
        self._limits = ConnectionLimits(timeout_s, max_in_flight, max_bytes)
        self._loop = asyncio.get_running_loop()
        self._connection: RespConnection | None = None
        self._attempt: asyncio.Task[None] | None = None
        self._failures = 0
        self._not_before = 0.0
        self._is_closed = False
        self._fails_fast = fails_fast
        self._name = name
        self._probe: asyncio.Task[None] | None = None
        self._times = Histogram()
        self._losses = 0

    def call(self, *words: Word) -> asyncio.Future[Any]:
        """Send one command. The future gets the reply: bytes, int, None or a list. Errors inside a list stay there.

        The future fails with ResponseError (an error reply), ConnectionError (not connected, too much in flight, or
        closed) or TimeoutError, all of redis.exceptions. After the last two the outcome is unknown. Cancelling the
        future does not stop the command. READONLY, LOADING and MASTERDOWN close the connection after their delivery.
        """
        return (self._connection or self._new_connection()).call(words)

    @property
    def is_up(self) -> bool:
        """Whether the last call or probe was answered: a connection is open."""
        return self._connection is not None and self._connection.opened_at is not None

    @property
    def timeout_s(self) -> float:
        """The longest time of a call, in s."""
        return self._limits.timeout_s

    def leave(self, server: Address, reason: str) -> None:
        """Close a connection that does not lead to this server: calls in flight fail, the next one connects at once."""
        connection = self._connection
        if connection is not None and connection.server not in {None, server}:
            connection.lose(exceptions.ConnectionError, reason)
        self._not_before, self._failures = 0.0, 0
        if self._probe is not None:
            self._probe.cancel()
            self._probe = self._loop.create_task(self._probe_until_open())

    def retire(self) -> RespConnection | None:
        """Let the next call connect again; the present connection, to be closed once its calls have their replies."""
        connection, self._connection, self._not_before = self._connection, None, 0.0
        return connection

    async def close(self) -> None:
        """Close the connection. Calls in flight and later ones fail with ConnectionError."""
        self._is_closed = True
        connection, attempt = self._connection, self._attempt
        if connection is not None:
            connection.lose(exceptions.ConnectionError, _CLOSED)
        for task in filter(None, (attempt, self._probe)):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if connection is not None:
            await connection.gone.wait()

    def families(self, server: str) -> list[Family]:
        """Metrics of its calls."""
        labels = {"server": server}
        in_flight = Sample(self._connection.in_flight if self._connection else 0, labels)
        losses = Sample(self._losses, labels)
        return [
            histogram("titan_store_call_seconds", "Time to the store's reply.", [(labels, self._times)]),
            gauge("titan_store_calls_in_flight", "Calls without a reply yet.", [in_flight]),
            counter("titan_store_losses_total", "Connections to the store that were lost.", [losses]),
        ]

    def _new_connection(self) -> RespConnection:
        connection = RespConnection(self._limits, self._lost, self._times)
        if self._is_closed or self._probe is not None:
            reason = _CLOSED if self._is_closed else f"{self._name} did not answer, and is being probed"
            self._loop.call_soon(connection.lose, exceptions.ConnectionError, reason)
            return connection
        self._connection = connection
        self._attempt = self._loop.create_task(self._open(connection))
        return connection

    async def _open(self, connection: RespConnection) -> None:
        timeout_s = self._limits.timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.sleep(self._not_before - time.monotonic())
                await self._connect(connection)
                await connection.open(self._endpoint.greeting)
        except (TimeoutError, exceptions.TimeoutError):
            connection.lose(exceptions.TimeoutError, f"no connection to the store within {timeout_s:g} s")
        except asyncio.CancelledError:
            connection.lose(exceptions.ConnectionError, "the server has moved")
            raise
        except Exception as fault:  # noqa: BLE001 - `resolve` and TLS may raise anything; each waiting call must fail
            connection.lose(exceptions.ConnectionError, f"no connection to the store: {fault}")

    async def _probe_until_open(self) -> None:
        """Connect again and again, one attempt at a time, until it works."""
        pause_s = _FIRST_PROBE_S
        while True:
            connection = RespConnection(self._limits, self._lost, self._times)
            await self._open(connection)
            if connection.opened_at is not None and not connection.is_lost:
                self._connection, self._probe = connection, None
                _log.info("%s answers again", self._name, extra=event("store.found", server=self._name))
                return
            await asyncio.sleep(pause_s * random.uniform(0.8, 1))  # noqa: S311 - only spreads attempts over time
            pause_s = min(2 * pause_s, _LAST_PROBE_S)

    async def _connect(self, connection: RespConnection) -> None:
        address = await self._resolve() if self._resolve else self._endpoint.address
        connection.server, connection.on_error = address, self.on_error
        if isinstance(address, str):
            await self._loop.create_unix_connection(lambda: connection, address)
        else:
            await self._loop.create_connection(lambda: connection, *address, ssl=self._endpoint.tls)

    def _lost(self, connection: RespConnection, reason: str) -> None:
        """Let the next call connect again, after a pause if this connection failed to open or ended soon."""
        if connection is not self._connection:
            return
        self._connection = None
        now = time.monotonic()
        if connection.opened_at is not None and not self._is_closed:
            self._losses += 1
            lost = event("store.lost", server=self._name, reason=reason)
            _log.warning("the connection to %s is lost: %s", self._name, reason, extra=lost)
        if self._fails_fast and not self._is_closed and (connection.is_silent or connection.opened_at is None):
            self._probe = self._loop.create_task(self._probe_until_open())
        elif connection.opened_at is not None and now - connection.opened_at > self._limits.timeout_s:
            self._failures = 0
        else:
            longest_s = self._limits.timeout_s * _LAST_PAUSE
            pause_s = min(_FIRST_PAUSE_S * 2 ** min(self._failures, 16), longest_s)
            self._failures += 1
            self._not_before = now + pause_s * random.uniform(0.5, 1)  # noqa: S311 - only spreads attempts over time


def endpoint_of(url: str) -> Endpoint:
    """The parts of a URL, parsed by redis-py. Raises ValueError."""
    try:
        pool = BlockingConnectionPool.from_url(url)
        parsed = pool.connection_class(**pool.connection_kwargs)
        tls = parsed.ssl_context.get() if isinstance(parsed, SSLConnection) else None
    except (TypeError, OSError, exceptions.RedisError) as fault:
        raise ValueError(str(fault)) from fault
    greeting: list[tuple[Word, ...]] = []
    if parsed.password:
        greeting.append(("AUTH", parsed.username, parsed.password) if parsed.username else ("AUTH", parsed.password))
    if parsed.db:
        greeting.append(("SELECT", int(parsed.db)))
    if parsed.client_name:
        greeting.append(("CLIENT", "SETNAME", parsed.client_name))
    greeting.append(("PING",))
    return Endpoint(_address_of(parsed), tls, tuple(greeting))


def _address_of(parsed: object) -> Address:
    if isinstance(parsed, UnixDomainSocketConnection) and parsed.path:
        return str(parsed.path)
    if isinstance(parsed, Connection):
        return str(parsed.host), int(parsed.port)
    raise ValueError("neither a host nor a socket")
