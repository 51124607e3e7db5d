"""The wire: one multiplexed connection to the store, for scripts that change state; it reconnects, and resends nothing.

All commands of one loop tick leave in one write. Calls made while the store is away wait for the one attempt to reach
it. See broker.resp.resp_connection for a connection's life.
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

from broker.metrics.exposition import Family, Histogram, Sample, counter, gauge, histogram
from broker.resp.resp_connection import ConnectionLimits, RespConnection, Word

Place = tuple[str, int] | str
"""Where a server listens: host and port, or the path of its socket."""
_log = logging.getLogger(__name__)
_FIRST_PAUSE_S = 0.02
_LAST_PAUSE = 0.25
"""The longest pause between attempts, as a part of timeout_s: a call that waits through it can still connect."""


class ServerAddress(NamedTuple):
    """What a URL says: where to go, how to get in, and what to say first."""

    place: Place
    tls: ssl.SSLContext | None
    greeting: tuple[tuple[Word, ...], ...]


class Multiplexer:
    """One connection at a time to the store at redis://, rediss:// or unix://, with redis-py's options in the query.

    Make it inside the running loop; the first call connects. timeout_s: how long a call may take in all, waiting for
    the connection included; the first that is overdue drops the connection. max_in_flight, max_bytes: how many calls,
    and bytes of commands, may be unanswered. `resolve` says where to go at each connection, for addresses that move,
    as `lambda: sentinel.discover_master("titan")`; without it, where the URL says.
    Raises ValueError for a URL that cannot be read.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float,
        max_in_flight: int = 10_000,
        max_bytes: int = 128 * 1024 * 1024,
        resolve: Callable[[], Awaitable[Place]] | None = None,
    ) -> None:
        self._address = address_of(url)
        self._resolve = resolve
        self._limits = ConnectionLimits(timeout_s, max_in_flight, max_bytes)
        self._loop = asyncio.get_running_loop()
        self._link: RespConnection | None = None
        self._attempt: asyncio.Task[None] | None = None
        self._failures = 0
        self._not_before = 0.0
        self._is_closed = False
        self._times = Histogram()
        self._losses = 0

    def call(self, *words: Word) -> asyncio.Future[Any]:
        """The reply to one command, bytes, int, None or a list, to be awaited; errors nested in a list stay there.

        Fails with ResponseError (the store's answer), ConnectionError (no connection, too much in flight, closed) or
        TimeoutError, all of redis.exceptions. After the last two the outcome is not known. Cancelling it takes nothing
        back. READONLY, LOADING and MASTERDOWN drop the connection once they are delivered.
        """
        return (self._link or self._new_link()).call(words)

    @property
    def timeout_s(self) -> float:
        """How long a call may take in all."""
        return self._limits.timeout_s

    def at(self, _: str) -> "Multiplexer":
        """The wire to the server of a partition: of one server, this."""
        return self

    async def close(self) -> None:
        """Drop the connection; calls in flight and later ones fail with ConnectionError."""
        self._is_closed = True
        link, attempt = self._link, self._attempt
        if link is not None:
            link.lose(exceptions.ConnectionError, "the wire is closed")
        if attempt is not None:
            attempt.cancel()
            await asyncio.gather(attempt, return_exceptions=True)
        if link is not None:
            await link.gone.wait()

    def families(self, server: str) -> list[Family]:
        """How its calls do, as metrics."""
        labels = {"server": server}
        in_flight = Sample(self._link.in_flight if self._link else 0, labels)
        losses = Sample(self._losses, labels)
        return [
            histogram("titan_store_call_seconds", "Time to the store's reply.", [(labels, self._times)]),
            gauge("titan_store_calls_in_flight", "Calls without a reply yet.", [in_flight]),
            counter("titan_store_losses_total", "Connections to the store that were lost.", [losses]),
        ]

    def _new_link(self) -> RespConnection:
        link = RespConnection(self._limits, self._lost, self._times)
        if self._is_closed:
            self._loop.call_soon(link.lose, exceptions.ConnectionError, "the wire is closed")
            return link
        self._link = link
        self._attempt = self._loop.create_task(self._open(link))
        return link

    async def _open(self, link: RespConnection) -> None:
        timeout_s = self._limits.timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.sleep(self._not_before - time.monotonic())
                await self._connect(link)
                await link.open(self._address.greeting)
        except (TimeoutError, exceptions.TimeoutError):
            link.lose(exceptions.TimeoutError, f"no connection to the store within {timeout_s:g} s")
        except Exception as fault:  # noqa: BLE001 - whatever `resolve` or TLS may raise, those who wait are told
            link.lose(exceptions.ConnectionError, f"no connection to the store: {fault}")

    async def _connect(self, link: RespConnection) -> None:
        place = await self._resolve() if self._resolve else self._address.place
        if isinstance(place, str):
            await self._loop.create_unix_connection(lambda: link, place)
        else:
            await self._loop.create_connection(lambda: link, *place, ssl=self._address.tls)

    def _lost(self, link: RespConnection, reason: str) -> None:
        """Have the next call connect anew; the next attempt is put off if this one came to nothing, or soon ended."""
        if link is not self._link:
            return
        self._link = None
        now = time.monotonic()
        if link.opened_at is not None and not self._is_closed:
            self._losses += 1
            _log.warning("the connection to the store is lost: %s", reason)
        if link.opened_at is not None and now - link.opened_at > self._limits.timeout_s:
            self._failures = 0
            return
        longest_s = self._limits.timeout_s * _LAST_PAUSE
        pause_s = min(_FIRST_PAUSE_S * 2 ** min(self._failures, 16), longest_s)
        self._failures += 1
        self._not_before = now + pause_s * random.uniform(0.5, 1)  # noqa: S311 - spreads attempts, guards nothing


def address_of(url: str) -> ServerAddress:
    """What the URL says, read as redis-py reads it. Raises ValueError."""
    try:
        pool = BlockingConnectionPool.from_url(url)
        told = pool.connection_class(**pool.connection_kwargs)
        tls = told.ssl_context.get() if isinstance(told, SSLConnection) else None
    except (TypeError, OSError, exceptions.RedisError) as fault:
        raise ValueError(str(fault)) from fault
    greeting: list[tuple[Word, ...]] = []
    if told.password:
        greeting.append(("AUTH", told.username, told.password) if told.username else ("AUTH", told.password))
    if told.db:
        greeting.append(("SELECT", int(told.db)))
    if told.client_name:
        greeting.append(("CLIENT", "SETNAME", told.client_name))
    greeting.append(("PING",))
    return ServerAddress(_place(told), tls, tuple(greeting))


def _place(told: object) -> Place:
    if isinstance(told, UnixDomainSocketConnection) and told.path:
        return str(told.path)
    if isinstance(told, Connection):
        return str(told.host), int(told.port)
    raise ValueError("neither a host nor a socket")
